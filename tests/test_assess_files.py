"""Assessments of files and of data sets: what is read, what is refused by name, and the order of a second look."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fastpunet import ProbabilisticUNet, Sampler, save
from fastpunet.cli import main
from fastpunet.data import Record
from fastpunet.data.inputs import find_inputs
from fastpunet.data.inputs.annotations import read_annotation
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.files import write_table
from fastpunet.hypotheses import assess
from fastpunet.prediction.assessing import assess_files
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.request import Request
from fastpunet.reports.second_look import second_look, table

Image = pytest.importorskip("PIL.Image")
nibabel = pytest.importorskip("nibabel")

SIZE = (12, 10)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=2, convs_per_block=1)
    with torch.no_grad():
        made.fcomb.last_layer.weight.mul_(4)
        made.fcomb.last_layer.bias.sub_(made(torch.rand(8, 1, *SIZE)).mean())
    return made


@pytest.fixture
def folder(tmp_path, model):
    """An image and two masks as PNG, a volume of three slices and its mask as NIfTI, and the model."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, SIZE, np.uint8)).save(tmp_path / "image.png")
    for name in ("ann", "ben"):
        Image.fromarray(255 * rng.integers(0, 2, SIZE, np.uint8)).save(tmp_path / f"{name}.png")
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(rng.normal(size=(*SIZE, 3)), affine), tmp_path / "ct.nii.gz")
    mask = rng.integers(0, 2, (*SIZE, 3)).astype(np.uint8)
    mask[..., 1] = 0
    nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / "ct_ann.nii.gz")
    save(model, tmp_path / "model.safetensors")
    return tmp_path


def test_an_image_and_its_masks_are_assessed_as_in_memory(folder, model):
    found = assess_files(
        folder / "model.safetensors", folder / "image.png", [folder / "ann.png", folder / "ben.png"], Request(n=40)
    )
    image = torch.tensor(np.array(Image.open(folder / "image.png")) / 255, dtype=torch.float32)[None]
    masks = torch.tensor(np.stack([np.array(Image.open(folder / f"{name}.png")) // 255 for name in ("ann", "ben")]))
    expected = assess(model, image, masks, 40, id=id_of("image"), names=["ann.png", "ben.png"])
    assert list(found.slices) == [None]
    assert found.slices[None].rows() == expected.rows()
    assert found.rows()[1] | {"image": None} == {"image": None, "slice": None, **expected.rows()[1]}


def test_a_model_of_images_assesses_the_marked_slices_of_a_volume(folder):
    found = assess_files(folder / "model.safetensors", folder / "ct.nii.gz", [folder / "ct_ann.nii.gz"], Request(n=20))
    assert list(found.slices) == [0, 2]
    mask = nibabel.load(folder / "ct_ann.nii.gz").get_fdata()[..., 2]
    assert np.array_equal(found.slices[2].masks[0], mask)
    assert [row["slice"] for row in found.rows()] == [0, 2]


def test_masks_follow_an_image_that_is_resampled(folder, model):
    with_spacing = ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=2, convs_per_block=1)
    with_spacing.load_state_dict(model.state_dict())
    with_spacing.spacing, with_spacing.image_size = (1.0, 1.0), (2, 2)
    save(with_spacing, folder / "spaced.safetensors")
    found = assess_files(folder / "spaced.safetensors", folder / "ct.nii.gz", [folder / "ct_ann.nii.gz"], Request(n=9))
    mask = nibabel.load(folder / "ct_ann.nii.gz").get_fdata()[..., 0]
    assert np.array_equal(found.slices[0].masks[0], mask.repeat(2, 0).repeat(2, 1))
    assert found.warnings[0].startswith("ct: has ")
    assert found.warnings[-1] == "ct: is assessed with the spacing that the model was trained on, resampled"


def test_annotations_in_every_format_are_the_same(folder):
    image = find_inputs([folder / "image.png"])[0]
    expected = np.array(Image.open(folder / "ann.png")) // 255
    np.save(folder / "ann.npy", expected)
    palette = Image.fromarray(expected)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(folder / "palette.png")
    nibabel.save(nibabel.Nifti1Image(expected, np.eye(4)), folder / "flat.nii")
    for name in ("ann.png", "ann.npy", "palette.png", "flat.nii"):
        found = read_annotation(folder / name, image, binary=True)
        assert found.dtype == np.uint8
        assert np.array_equal(found, expected), name
    stored = read_annotation(folder / "ann.png", image, binary=False)
    assert np.array_equal(stored, 255 * expected)


def moved(folder, change):
    nifti = nibabel.load(folder / "ct_ann.nii.gz")
    affine = nifti.affine.copy()
    affine[change] += 0.5
    nibabel.save(nibabel.Nifti1Image(np.asarray(nifti.dataobj), affine), folder / "moved.nii.gz")


def test_annotations_that_do_not_lie_on_the_image_are_refused_by_name(folder, capsys):
    Image.fromarray(np.zeros((12, 11), np.uint8)).save(folder / "wide.png")
    Image.fromarray(np.full(SIZE, 7, np.uint8)).save(folder / "seven.png")
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(folder / "lossy.jpg")
    nibabel.save(nibabel.Nifti1Image(np.full((*SIZE, 3), 0.5), np.diag([2.0, 2, 5, 1])), folder / "half.nii.gz")
    bare = nibabel.Nifti1Image(np.zeros((*SIZE, 3), np.uint8), None)
    bare.header["sform_code"] = bare.header["qform_code"] = 0
    nibabel.save(bare, folder / "bare.nii.gz")
    moved(folder, (0, 3))
    for image, mask, message in (
        ("image.png", "wide.png", "wide.png is 12 x 11, expected 12 x 10, the size of image"),
        ("image.png", "seven.png", "seven.png holds values [7] besides 0, expected 0 and 1"),
        ("image.png", "lossy.jpg", "lossy.jpg is a JPEG, which changes class indices"),
        ("image.png", "none.png", "none.png'"),
        ("image.png", "ct_ann.nii.gz", "ct_ann.nii.gz is 3 x 12 x 10, expected 12 x 10, the size of image"),
        ("ct.nii.gz", "moved.nii.gz", "moved.nii.gz lies on another grid than ct: corners are 0.25 voxels apart"),
        ("ct.nii.gz", "half.nii.gz", "half.nii.gz has values from 0.5 to 0.5, not all whole numbers"),
        ("ct.nii.gz", "bare.nii.gz", "because bare.nii.gz does not say where its voxels lie"),
        ("none.png", "ann.png", "none.png"),
    ):
        status = main(["assess", str(folder / "model.safetensors"), str(folder / image), str(folder / mask)])
        said = capsys.readouterr()
        assert status == 2
        assert message in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""


def test_grids_that_differ_by_rounding_are_one(folder):
    nifti = nibabel.load(folder / "ct_ann.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.asarray(nifti.dataobj), nifti.affine + 1e-3), folder / "near.nii.gz")
    image = find_inputs([folder / "ct.nii.gz"])[0]
    found = read_annotation(folder / "near.nii.gz", image, binary=True)
    assert np.array_equal(found, np.asarray(nifti.dataobj).transpose(2, 0, 1))


def test_the_command_prints_and_writes(folder, capsys):
    stem = folder / "new" / "out"
    files = [str(folder / name) for name in ("model.safetensors", "image.png", "ann.png", "ben.png")]
    assert main(["assess", *files, "-n", "30", "--output", str(stem)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("annotation  rank  log p(y | x)")
    assert lines[1].startswith("ann.png")
    assert lines[-2:] == [f"{stem}.json", f"{stem}.csv"]
    written = json.loads((folder / "new" / "out.json").read_text())
    assert (written["n"], written["seed"]) == (30, 0)
    with open(f"{stem}.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["annotation"] for row in rows] == ["ann.png", "ben.png"]
    assert [float(row["log_evidence"]) for row in rows] == [row["log_evidence"] for row in written["annotations"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "IMAGE MASK: expected either an image and its annotations"),
        (["{f}/image.png", "--data", "{f}"], "IMAGE MASK: expected either an image and its annotations"),
        (["{f}/image.png"], "masks: got none, expected at least one annotation of the image"),
        (["{f}/image.png", "{f}/ann.png", "-n", "0"], "n: got 0"),
        (["{f}/image.png", "{f}/ann.png", "--output", "{f}/image.png/out"], "output: got"),
        (["{f}/image.png", "{f}/ann.png", "--intensity", "rgb"], "intensity: got 'rgb'"),
        (["--data", "{f}/none"], "data: no file or folder"),
        (["--data", "{f}", "--most", "0"], "most: got 0"),
    ],
)
def test_wrong_arguments_are_one_line(folder, capsys, arguments, message):
    given = [argument.format(f=folder) for argument in arguments]
    assert main(["assess", str(folder / "model.safetensors"), *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def make_records(model):
    """Three images whose masks are hypotheses of seed 2, but for one mask of the second image."""
    rng = torch.Generator().manual_seed(1)
    images = torch.rand(3, 1, *SIZE, generator=rng)
    masks = Sampler(model).sample(images, 3, seed=2, ids=torch.tensor([4, 5, 6]))
    records = [
        Record(image.numpy(), own.numpy(), id=i + 4, patient=f"p{i}", name=f"scan{i}", slice=i, raters=("a", "b", "c"))
        for i, (image, own) in enumerate(zip(images, masks, strict=True))
    ]
    records[1].masks[1] = np.indices(SIZE).sum(0) % 2
    return records


def test_the_annotation_unlike_all_hypotheses_comes_first(model):
    records = make_records(model)
    found = second_look(model, records, 30, seed=2)
    assert len(found) == 9
    first = found[0]
    assert (first.patient, first.name, first.slice, first.rater, first.record) == ("p1", "scan1", 1, "b", 5)
    keys = [(mask.values["nearest_iou"], mask.relative) for mask in found]
    assert keys == sorted(keys)
    rows = assess(model, torch.tensor(records[1].image), torch.tensor(records[1].masks), 30, seed=2, id=5).rows()
    assert first.values == rows[1]
    others = (rows[0]["log_evidence"] + rows[2]["log_evidence"]) / 2
    assert first.relative == pytest.approx(rows[1]["log_evidence"] - others)
    lines = table(found[:2]).splitlines()
    assert lines[2].startswith(f"| p1 | scan1 | 1 | b | {first.values['nearest_iou']:.2f} |")


def test_records_without_annotations_and_ignored_masks_are_left_out(model):
    records = make_records(model)
    records[0] = replace(records[0], masks=records[0].masks[:0], raters=())
    records[1].masks[0] = 255
    found = second_look(model, records, 10)
    assert sorted((mask.name, mask.rater) for mask in found) == [
        ("scan1", "b"),
        ("scan1", "c"),
        ("scan2", "a"),
        ("scan2", "b"),
        ("scan2", "c"),
    ]
    alone = second_look(model, [replace(records[2], masks=records[2].masks[:1], raters=())], 10)
    assert (alone[0].rater, alone[0].relative) == ("1", None)
    assert alone[0].row()["relative_log_evidence"] is None
    with pytest.raises(ValueError, match="records: none has an annotation"):
        second_look(model, records[:1], 10)


def test_records_that_cannot_be_assessed_are_named(model):
    records = make_records(model)
    records[2].masks[0, 0, 0] = 3
    with pytest.raises(ValueError, match="the masks of slice 2 of scan2 have the label 3"):
        second_look(model, records, 10)
    with pytest.raises(ValueError, match="has an exact distribution over masks, expected annotations"):
        second_look(model, SyntheticLesions(1, seed=0), 10)
    wide = replace(records[0], image=np.zeros((3, *SIZE), np.float32))
    with pytest.raises(
        ValueError, match="records: slice 0 of scan0: images: got 3 channels, expected 1 as the model takes"
    ):
        second_look(model, [wide], 10)


def test_a_data_set_from_the_command_line(folder, capsys):
    rng = np.random.default_rng(2)
    for number in range(2):
        for name, peak in (("images", 256), ("masks/ann", 2), ("masks/ben", 2)):
            (folder / "set" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, peak, SIZE, np.uint8)).save(folder / "set" / name / f"p{number}.png")
    arguments = ["assess", str(folder / "model.safetensors"), "--data", str(folder / "set"), "-n", "20"]
    assert main([*arguments, "--most", "3", "--output", str(folder / "all")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 of 4 annotations, those least like any hypothesis first"
    assert len([line for line in lines if line.startswith("| p")]) == 4  # the header begins with patient
    with open(folder / "all.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["rater"] for row in rows} == {"ann", "ben"}
    ious = [float(row["nearest_iou"]) for row in rows]
    assert ious == sorted(ious)


def test_a_table_is_written_with_empty_cells_and_quotes(tmp_path):
    write_table(tmp_path / "t.csv", [{"a": 1, "b": None}, {"a": 'x,"y"', "b": 0.5}])
    assert (tmp_path / "t.csv").read_text() == 'a,b\n1,\n"x,""y""",0.5\n'
