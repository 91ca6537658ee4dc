"""Archives: what is in them, that any reader of Zarr and Parquet finds it, and that no image depends on another."""

import hashlib
import json
import os
import shutil

import numpy as np
import pyarrow.parquet
import pytest
import torch
import zarr
from helpers.small_model import save_pictures, save_small_model
from PIL import Image

import fastpunet
from fastpunet.archive import table
from fastpunet.archive.layout import group_document, item_path
from fastpunet.cli import main
from fastpunet.hypotheses import summarize
from fastpunet.prediction.archiving.run import run_archive
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.request import Request

REQUEST = Request(n=40, seed=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "in", 6)


@pytest.fixture(scope="module")
def archive(model, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "a.zarr"
    request = Request(n=40, seed=3, mean=True, entropy=True, measures=("longest_diameter",))
    assert run_archive(model, [images], path, request) == {"done": 6}
    return path


def contents(archive):
    """SHA-256 of every file but the log."""
    files = (path for path in archive.rglob("*") if path.is_file() and path.name != "log.jsonl")
    return {str(path.relative_to(archive)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_rows_of_many_hypotheses_are_written_in_small_groups(archive, tmp_path, monkeypatch):
    path = shutil.copytree(archive, tmp_path / "a.zarr")
    monkeypatch.setattr(table, "_VALUES", 3 * 40 * 3)  # three rows of area, volume and diameter
    assert table.write_table(path, fastpunet.open_samples(path).about) == 6
    assert pyarrow.parquet.ParquetFile(path / "items.parquet").metadata.num_row_groups == 2
    assert pyarrow.parquet.read_table(path / "items.parquet") == pyarrow.parquet.read_table(archive / "items.parquet")


@pytest.mark.parametrize("output", ["b.zarr/", "B.ZARR", "link.zarr"])
def test_an_archive_by_whatever_path(model, images, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.zarr").symlink_to("not there yet")
    command = ["sample", str(model), str(images / "case00.png"), "-o", output, "-n", "2"]
    assert main(command) == 0
    assert main([*command, "--overwrite"]) == 0
    assert list(fastpunet.open_samples(output)) == ["case00"]


def test_names_of_files_that_an_archive_cannot_take_as_they_are(model, images, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(images / "case00.png", folder / "zarr.json.png")
    shutil.copy(images / "case01.png", os.fsencode(folder) + b"/\xff.png")
    for output in (tmp_path / "a.zarr", tmp_path / "folder"):
        assert main(["sample", str(model), str(folder), "-o", str(output), "-n", "2"]) == 1
        assert "\\udcff.png' is not UTF-8; rename it" in capsys.readouterr().err
    assert list(fastpunet.open_samples(tmp_path / "a.zarr")) == ["image_zarr.json"]


def _drawn(model, images, name, n=40, seed=3):
    pixels = np.asarray(Image.open(images / f"{name}.png")) / np.float32(255)
    image, ids = torch.from_numpy(pixels)[None, None], torch.tensor([id_of(name)])
    return fastpunet.sample(fastpunet.load(model), image, n, seed=seed, ids=ids, output="bits"), image, ids


def test_the_hypotheses_are_those_of_the_engine(model, images, archive):
    samples = fastpunet.open_samples(archive)
    assert sorted(samples) == [f"case{place:02}" for place in range(6)]
    assert len(samples) == 6
    assert samples.num_classes == 1
    for name, stored in samples.items():
        masks, _, ids = _drawn(model, images, name)
        assert stored[:].size == masks.size == stored.size
        torch.testing.assert_close(stored[:].words, masks.words, rtol=0, atol=0)
        torch.testing.assert_close(stored[5:9].words, masks.words[:, 5:9], rtol=0, atol=0)
        assert (stored.n, stored.about["id"], stored.about["seed"]) == (40, int(ids), 3)
        assert stored.about["sha256"] == hashlib.sha256((images / f"{name}.png").read_bytes()).hexdigest()
        assert stored.about["model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        assert stored.about["computed"]["backend"] in ("native", "reference")
    with pytest.raises(KeyError):
        samples["case99"]
    with pytest.raises(TypeError, match="^hypotheses: got 3, expected a slice"):
        samples["case00"][3]


def test_readers_of_zarr_and_parquet_need_nothing_of_ours(model, images, archive):
    rows = pyarrow.parquet.read_table(archive / "items.parquet").to_pylist()
    root = zarr.open_group(archive, mode="r")
    assert sum(len(list(folder.groups())) for _, folder in root["items"].groups()) == len(rows) == 6
    for row in rows:
        masks, image, ids = _drawn(model, images, row["name"])
        labels = masks.unpack()[0].numpy()
        words = root[row["path"]]["masks"][:]
        assert words.dtype == np.int32
        bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")[:, 0, : labels[0].size]
        np.testing.assert_array_equal(bits.reshape(labels.shape), labels)
        areas = labels.sum((1, 2))
        assert row["area"] == areas.tolist()
        assert row["presence"] == pytest.approx((areas > 0).mean())
        assert row["area_q50"] == np.quantile(areas[~np.isnan(areas)], 0.5)
        assert [value is None for value in row["longest_diameter"]] == (areas == 0).tolist()
        assert row["volume"] is None
        assert (row["unit"], row["n"], row["seed"], row["id"]) == ("px", 40, 3, id_of(row["name"]))
        summary = summarize(fastpunet.load(model), image, 40, seed=3, ids=ids)
        np.testing.assert_allclose(root[row["path"]]["mean"][:], summary.mean[0].numpy(), atol=1e-6)
        np.testing.assert_allclose(root[row["path"]]["entropy"][:], summary.entropy[0].numpy(), atol=1e-6)
    metadata = json.loads((archive / rows[0]["path"] / "masks" / "zarr.json").read_text())
    (sharding,) = metadata["codecs"]
    assert sharding["name"] == "sharding_indexed"
    assert [codec["name"] for codec in sharding["configuration"]["codecs"]] == ["bytes", "zstd", "crc32c"]
    assert [codec["name"] for codec in sharding["configuration"]["index_codecs"]] == ["bytes", "crc32c"]


def test_no_image_depends_on_what_else_is_drawn_nor_when(model, images, tmp_path):
    run_archive(model, [images], tmp_path / "all.zarr", REQUEST)
    backwards = [images / f"case{place:02}.png" for place in reversed(range(6))]
    run_archive(model, backwards, tmp_path / "backwards.zarr", REQUEST)
    assert contents(tmp_path / "all.zarr") == contents(tmp_path / "backwards.zarr")
    run_archive(model, [images / "case04.png"], tmp_path / "alone.zarr", REQUEST)
    alone, path = contents(tmp_path / "alone.zarr"), item_path("case04")
    assert {key: value for key, value in alone.items() if path in key} == {
        key: value for key, value in contents(tmp_path / "all.zarr").items() if path in key
    }


def test_going_on_keeps_what_is_there_and_refuses_what_was_asked_otherwise(model, images, tmp_path):
    path, whole = tmp_path / "a.zarr", tmp_path / "whole.zarr"
    assert run_archive(model, [images / "case00.png", images / "case01.png"], path, REQUEST) == {"done": 2}
    before = (path / item_path("case00") / "zarr.json").stat()
    with pytest.raises(ValueError, match="^output: .*a.zarr exists; pass --skip-existing to go on"):
        run_archive(model, [images], path, REQUEST)
    with pytest.raises(ValueError, match="a.zarr was made with other settings: n was 40, seed was 3; name another"):
        run_archive(model, [images], path, Request(n=41, seed=4), skip_existing=True)
    assert run_archive(model, [images], path, REQUEST, skip_existing=True) == {"done": 4, "kept": 2}
    after = (path / item_path("case00") / "zarr.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    run_archive(model, [images], whole, REQUEST)
    assert contents(path) == contents(whole)
    other = save_pictures(tmp_path / "other", 1, ((9, 9),))
    assert run_archive(model, [other], path, REQUEST, skip_existing=True) == {"failed": 1}
    line = json.loads((path / "log.jsonl").read_text().splitlines()[-1])
    assert (line["name"], line["status"], line["schema"]) == ("case00", "failed", 1)
    assert "has hypotheses of another image of this name" in line["message"]
    assert contents(path) == contents(whole)
    assert run_archive(model, [images / "case00.png"], path, Request(n=2), overwrite=True) == {"done": 1}
    assert list(fastpunet.open_samples(path)) == ["case00"]


def test_classes_and_volumes(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    model = save_small_model(tmp_path / "m.safetensors", num_classes=3)
    volume = np.random.default_rng(1).integers(0, 256, (20, 21, 5), dtype=np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag((0.8, 0.7, 2.0, 1.0))), tmp_path / "scan.nii.gz")
    path = tmp_path / "a.zarr"
    assert run_archive(model, [tmp_path / "scan.nii.gz"], path, Request(n=7, mean=True)) == {"done": 1}
    stored = fastpunet.open_samples(path)["scan"]
    images = torch.from_numpy(volume.transpose(2, 0, 1) / np.float32(255))[:, None]
    ids = torch.full((5,), id_of("scan"))
    network = fastpunet.load(model)
    labels = torch.stack(
        [fastpunet.sample(network, image[None], 7, seed=0, ids=ids[:1])[0] for image in images], dim=1
    )  # (n, D, H, W)
    assert stored[:].shape == (1, 7, 5, 20, 21)
    torch.testing.assert_close(stored[:].unpack()[0], labels, rtol=0, atol=0)
    (row,) = pyarrow.parquet.read_table(path / "items.parquet").to_pylist()
    counted = [[(its == label).sum().item() * 0.8 * 0.7 * 2 for label in range(3)] for its in labels]
    np.testing.assert_allclose(row["volume"], counted, rtol=1e-6)
    np.testing.assert_allclose(row["volume_q50"], np.median(counted, 0), rtol=1e-6)
    assert row["unit"] == "mm"
    mean = zarr.open_array(path / row["path"] / "mean", mode="r")[:]
    expected = summarize(network, images, 7, seed=0, ids=ids).mean.movedim(0, 1)
    np.testing.assert_allclose(mean, expected.numpy(), atol=1e-5)


def test_what_fails_is_logged_and_the_rest_is_drawn(model, images, tmp_path, capsys):
    data = shutil.copytree(images, tmp_path / "in")
    (data / "case02.png").write_bytes((data / "case02.png").read_bytes()[:200])
    path = tmp_path / "a.zarr"
    assert main(["sample", str(model), str(data), "-o", str(path), "-n", "4"]) == 1
    said = capsys.readouterr()
    assert "5 of 6 images have hypotheses in" in said.out
    assert said.err.startswith("fastpunet sample: ")
    assert "case02" in said.err
    (line,) = map(json.loads, (path / "log.jsonl").read_text().splitlines())
    assert line["status"] == "failed"
    assert "case02.png" in line["message"]
    assert len(fastpunet.open_samples(path)) == 5
    shutil.copy(images / "case02.png", data)
    assert main(["sample", str(model), str(data), "-o", str(path), "-n", "4", "--skip-existing"]) == 0
    assert len(fastpunet.open_samples(path)) == 6


def test_what_an_archive_does_not_take(model, images, tmp_path):
    for options, message in (
        (["--modes"], "^modes: got 0, which an archive does not hold"),
        (["--batch-size", "4"], "^batch_size: images go into an archive one by one"),
        (["--overwrite", "--skip-existing"], "^skip_existing: got overwrite as well"),
        (["--measures", "weight"], "^measures: got 'weight', expected one of area"),
    ):
        with pytest.raises(ValueError, match=message):
            _sample([model, images, "-o", tmp_path / "a.zarr", *options])
    with pytest.raises(ValueError, match="^measures: got area for a folder"):
        _sample([model, images, "-o", tmp_path / "a", "--measures", "area"])
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "mine").touch()
    with pytest.raises(ValueError, match="b.zarr exists, but is not an archive of fastpunet sample"):
        _sample([model, images, "-o", tmp_path / "b.zarr"])
    zarr.create_array(tmp_path / "c.zarr", data=np.zeros(3))
    with pytest.raises(ValueError, match="c.zarr was not written by fastpunet sample"):
        fastpunet.open_samples(tmp_path / "c.zarr")
    with pytest.raises(FileNotFoundError, match="^archive: no folder"):
        fastpunet.open_samples(tmp_path / "d.zarr")
    for path in (images, tmp_path / "b.zarr" / "mine"):
        with pytest.raises(ValueError, match=f"{path.name} is not a Zarr v3 store"):
            fastpunet.open_samples(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zarr", "c.zarr"]


def _sample(arguments):
    from fastpunet.cli import sample

    return sample.run(sample.parser().parse(list(map(str, arguments))))


def test_damaged_attributes_and_names_of_other_places_are_refused(tmp_path):
    store = tmp_path / "x.zarr"
    node = store / item_path("a")
    node.mkdir(parents=True)
    (store / "zarr.json").write_bytes(group_document({"schema": 1}))
    with pytest.raises(ValueError, match="x.zarr is damaged: its num_classes is None, expected int"):
        fastpunet.open_samples(store)
    (store / "zarr.json").write_bytes(group_document({"schema": 1, "num_classes": 1, "model": {}, "request": {}}))
    (node / "zarr.json").write_bytes(group_document({"schema": 1, "n": "many", "image": [3]}))
    stored = fastpunet.open_samples(store)["a"]
    with pytest.raises(ValueError, match="its n is 'many', expected int"):
        len(stored)
    with pytest.raises(ValueError, match=r"its image is \[3\], expected dict"):
        stored.size  # noqa: B018
    for name in ("../../items/a", "..", "", "/etc"):
        with pytest.raises(KeyError):
            fastpunet.open_samples(store)[name]
