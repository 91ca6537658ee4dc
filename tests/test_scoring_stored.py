"""Hypotheses that others have stored: every layout gives the scores of the model that drew them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.request import Request
from fastpunet.prediction.run import run
from fastpunet.scoring.evaluate import evaluate_source
from fastpunet.scoring.stored import Stream, open_stored

N = 6
RECORDS = [replace(record, name=f"case{record.id}.png") for record in SyntheticLesions(4, seed=3, size=32)[:]]
LARGEST = [record.masks[record.masks.sum((1, 2)).argmax()] for record in RECORDS]
LABELS = np.stack([[np.roll(mask, (k, -k), (0, 1)) for k in range(N)] for mask in LARGEST])


def _npz(folder):
    for record, labels in zip(RECORDS, LABELS, strict=True):
        np.savez_compressed(folder / f"case{record.id}.npz", labels=labels)


def _npy(folder):
    for record, labels in zip(RECORDS, LABELS, strict=True):
        np.save(folder / f"case{record.id}.npy", labels)


def _nifti(folder):
    nibabel = pytest.importorskip("nibabel")
    for record, labels in zip(RECORDS, LABELS, strict=True):
        image = nibabel.Nifti1Image(labels[:, None].transpose(2, 3, 1, 0), np.eye(4))
        nibabel.save(image, folder / f"case{record.id}.nii.gz")


def _tiff(folder):
    for record, labels in zip(RECORDS, LABELS, strict=True):
        first, *rest = [Image.fromarray(page * np.uint8(255)) for page in labels]
        first.save(folder / f"case{record.id}.tif", save_all=True, append_images=rest)


def _pictures(folder, white=255):
    for record, labels in zip(RECORDS, LABELS, strict=True):
        (folder / f"case{record.id}").mkdir()
        for k, page in enumerate(labels):  # 9, 10, 11: numbers decide the order, not letters
            Image.fromarray(page * np.uint8(white)).save(folder / f"case{record.id}" / f"hyp_{k + 7}.png")


def _ones(folder):
    _pictures(folder, 1)


LAYOUTS = [_npz, _npy, _nifti, _tiff, _pictures, _ones]


@pytest.mark.parametrize("write", LAYOUTS)
def test_every_layout_of_a_folder_gives_the_hypotheses(write, tmp_path):
    write(tmp_path)
    source = open_stored(tmp_path, "bundle.npz")
    assert source.max_hypotheses == N
    assert np.array_equal(source.draw(RECORDS, N).unpack().numpy(), LABELS)
    assert np.array_equal(source.draw(RECORDS[2:], 2).unpack().numpy(), LABELS[2:, :2])


def test_arrays_of_all_images_give_the_hypotheses(tmp_path):
    np.save(tmp_path / "a.npy", LABELS)
    np.savez_compressed(tmp_path / "a.npz", samples=LABELS)
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "a.zarr", data=LABELS, chunks=(1, N, 32, 32))
    for name in ("a.npy", "a.npz", "a.zarr"):
        source = open_stored(tmp_path / name, "bundle.npz")
        assert source.max_hypotheses == N
        assert np.array_equal(source.draw(RECORDS, N).unpack().numpy(), LABELS)
        assert np.array_equal(source.draw(RECORDS[3:], 1).unpack().numpy(), LABELS[3:, :1])


def test_a_stream_gives_the_hypotheses_once_and_in_order():
    batches = torch.from_numpy(LABELS).split([1, 3])
    source = Stream(batches, N)
    drawn = [source.draw(RECORDS[:2], N), source.draw(RECORDS[2:], N)]
    assert np.array_equal(torch.cat([masks.unpack() for masks in drawn]).numpy(), LABELS)
    with pytest.raises(ValueError, match="^batches: ended before case0.png; expected hypotheses of every record"):
        source.draw(RECORDS[:1], N)


def test_scores_of_answers_are_those_of_the_model(tmp_path):
    """`fastpunet sample` writes hypotheses, and evaluation of its files equals evaluation of the same draws."""
    images = tmp_path / "images"
    images.mkdir()
    records = []
    for record in RECORDS:
        pixels = (record.image[0] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(images / record.name)
        records.append(replace(record, image=pixels[None] / np.float32(255)))
    run("lesions", [images], tmp_path / "answers", Request(n=N, modes=0, mean=True))
    stored = evaluate_source(open_stored(tmp_path / "answers", images), records, (2, N))
    drawn = fastpunet.sample(
        fastpunet.load("lesions"),
        torch.from_numpy(np.stack([record.image for record in records])),
        N,
        seed=0,
        ids=torch.tensor([id_of(f"case{record.id}") for record in records]),
    )
    expected = evaluate_source(Stream([drawn], N), records, (2, N))
    for n in (2, N):
        for name, values in expected.scores[n].items():
            np.testing.assert_array_equal(stored.scores[n][name], values)
    assert np.isfinite(stored.scores[N]["value"]).all()


def test_volumes_give_their_slices_and_bundles_their_numbers(tmp_path):
    volume = np.random.default_rng(0).integers(0, 2, (N, 5, 8, 9), dtype=np.uint8)
    np.savez(tmp_path / "scan.npz", labels=volume)
    image = np.zeros((1, 8, 9), np.float32)
    slices = [replace(RECORDS[0], image=image, name="scan.nii.gz", slice=place, id=place) for place in (0, 3)]
    drawn = open_stored(tmp_path, "data").draw(slices, N).unpack().numpy()
    assert np.array_equal(drawn, volume[:, [0, 3]].swapaxes(0, 1))
    (tmp_path / "numbered").mkdir()
    for place in range(3):
        np.savez(tmp_path / "numbered" / f"lidc_test_{place:03}.npz", labels=LABELS[place])
    unnamed = [replace(record, name="1.2.840, nodule 3") for record in RECORDS[:3]]
    drawn = open_stored(tmp_path / "numbered", "data/lidc_test.npz").draw(unnamed, N)
    assert np.array_equal(drawn.unpack().numpy(), LABELS[:3])


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="^hypotheses: no file or folder"):
        open_stored(tmp_path / "nothing", "data")
    with pytest.raises(ValueError, match="holds no folders and no files of"):
        open_stored(tmp_path, "data")
    (tmp_path / "a.txt").write_text("masks")
    with pytest.raises(ValueError, match=r"^hypotheses: got '.*a.txt', expected a folder, or a \.npz"):
        open_stored(tmp_path / "a.txt", "data")
    np.savez(tmp_path / "case0.npz", labels=LABELS[0][:, :-1])
    with pytest.raises(
        ValueError, match=r"^hypotheses: .*case0.npz holds \(31, 32\), expected \(32, 32\), the size of"
    ):
        open_stored(tmp_path, "data").draw(RECORDS[:1], 2)
    with pytest.raises(FileNotFoundError, match="^hypotheses: .* has none of case1.png; expected case1 or data_1 or"):
        open_stored(tmp_path, "data").draw(RECORDS[1:2], 2)
    np.savez(tmp_path / "case0.npz", other=LABELS[0])
    with pytest.raises(ValueError, match="holds other, expected one of labels, hypotheses, samples, masks"):
        open_stored(tmp_path, "data")
    np.savez(tmp_path / "case0.npz", labels=LABELS[0] * np.float32(0.5))
    with pytest.raises(ValueError, match="holds other values than class indices 0 .. 255; store label maps"):
        open_stored(tmp_path, "data").draw(RECORDS[:1], 2)
    np.savez(tmp_path / "case0.npz", labels=LABELS[0] * 3)
    with pytest.raises(ValueError, match=r"holds values \[3\] besides 0, expected 0 and 1"):
        open_stored(tmp_path, "data").draw(RECORDS[:1], 2)
    with pytest.raises(ValueError, match=r"^hypotheses: those of case0.png have the label 3, expected 0 .. 2; say how"):
        open_stored(tmp_path, "data", num_classes=3).draw(RECORDS[:1], 2)
    (tmp_path / "case0.npz").write_bytes((tmp_path / "case0.npz").read_bytes()[:50])
    with pytest.raises(ValueError, match="case0.npz is truncated or not an npz"):
        open_stored(tmp_path, "data")
    np.save(tmp_path / "b.npy", LABELS.astype(np.float32))
    with pytest.raises(ValueError, match=r"b.npy holds float32 \(4, 6, 32, 32\), expected class indices"):
        open_stored(tmp_path / "b.npy", "data")
    np.save(tmp_path / "b.npy", LABELS[:2])
    with pytest.raises(ValueError, match="expected a row for each image of the data set"):
        open_stored(tmp_path / "b.npy", "data").draw(RECORDS, 2)
    with pytest.raises(TypeError, match="^batches: got torch.float32, expected tensors of class indices"):
        Stream([torch.rand(1, 2, 32, 32)], 2).draw(RECORDS[:1], 2)


def test_scores_of_an_archive_are_those_of_its_hypotheses(tmp_path):
    pytest.importorskip("zarr")
    pytest.importorskip("pyarrow")
    from fastpunet.prediction.archiving.run import run_archive

    images = tmp_path / "images"
    images.mkdir()
    for record in RECORDS:
        Image.fromarray((record.image[0] * 255).astype(np.uint8)).save(images / record.name)
    path = tmp_path / "a.zarr"
    run_archive("lesions", [images], path, Request(n=N))
    samples = fastpunet.open_samples(path)
    source = open_stored(path, images)
    assert source.max_hypotheses == N
    for n in (2, N):
        expected = torch.cat([samples[f"case{record.id}"][:n].words for record in RECORDS])
        assert torch.equal(source.draw(RECORDS, n).words, expected)
    stream = Stream([torch.cat([samples[f"case{record.id}"][:].unpack() for record in RECORDS])], N)
    scores, expected_scores = (evaluate_source(one, RECORDS, (2, N)).scores[N] for one in (source, stream))
    for name, values in expected_scores.items():
        np.testing.assert_array_equal(scores[name], values)
    with pytest.raises(FileNotFoundError, match="a.zarr has none of nobody.png; expected nobody or"):
        source.draw([replace(RECORDS[0], name="nobody.png", id=77)], 1)
    with pytest.raises(ValueError, match="holds masks of 2 classes; say so with --num-classes 1"):
        open_stored(path, images, num_classes=3)
    with pytest.raises(ValueError, match=r"holds \(32, 32\), expected \(9, 9\), the size of case0.png"):
        source.draw([replace(RECORDS[0], image=np.zeros((1, 9, 9), np.float32))], 1)
    document = json.loads((path / "zarr.json").read_text())
    del document["attributes"]["fastpunet"]["request"]["n"]
    shutil.copytree(path, tmp_path / "b.zarr")
    (tmp_path / "b.zarr" / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"b.zarr is damaged: its n is None, expected int"):
        open_stored(tmp_path / "b.zarr", images)
    Image.new("L", (32, 32)).save(images / RECORDS[0].name)
    with pytest.raises(ValueError, match="case0.png has changed since those in .*case0 were drawn; draw them again"):
        open_stored(path, images).draw(RECORDS, 1)
