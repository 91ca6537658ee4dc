"""Volumes in NIfTI files: orientation, spacing, and hypotheses on the grid of the file."""

import csv
import json

import nibabel
import numpy as np
import pytest
import torch

import fastpunet
from fastpunet import ProbabilisticUNet
from fastpunet.cli import main
from fastpunet.data import folder as folders
from fastpunet.data.inputs import find_inputs
from fastpunet.data.inputs.annotations import read_annotation
from fastpunet.data.inputs.orienting import oriented
from fastpunet.data.lazy import header_of, orientation_of, spacing_of
from fastpunet.data.orientations import axes_between, back, turned
from fastpunet.hypotheses.measures import measure
from fastpunet.intensity import Intensity
from fastpunet.prediction.assessing import assess_files
from fastpunet.prediction.request import Request
from fastpunet.prediction.run import run
from fastpunet.reports.comparison import compare
from fastpunet.reports.comparison_tables import tables

SPACING = (1.5, 1.0, 2.0)  # rows, columns, slices, in mm
AFFINE = np.diag([*SPACING, 1.0])
RNG = np.random.default_rng(0)
VOXELS = RNG.random((14, 9, 11)).astype(np.float32)
ORIENTATIONS = ["LAS", "PSR", "IRA"]


def save(path, voxels, orientation="RAS", affine=AFFINE):
    """Write voxels that lie as RAS, with their affine, on the axes of another orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(voxels, affine)
    ornt = nibabel.orientations
    turn = ornt.ornt_transform(ornt.io_orientation(affine), ornt.axcodes2ornt(orientation))
    nibabel.save(image.as_reoriented(turn), path)
    return path


def as_ras(path):
    return nibabel.as_closest_canonical(nibabel.load(path))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, (4, 6), 2, convs_per_block=1, dims=3, kernel_sizes=[[1, 3, 3], [3, 3, 3]]).eval()
    model.intensity, model.orientation = Intensity("range", 0, 1), "RAS"
    with torch.no_grad():
        volume = torch.from_numpy(np.ascontiguousarray(VOXELS.transpose(2, 0, 1)))[None, None]
        logits = fastpunet.sample(model, volume, 16, seed=0, output="logits")
        model.fcomb.last_layer.bias.sub_(logits.median())
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    fastpunet.save(model, path)
    return path


def test_axes_between_orientations_are_nibabels():
    ornt = nibabel.orientations
    volume = np.arange(24).reshape(4, 2, 3)  # (D, H, W)
    for own in ("RAS", *ORIENTATIONS):
        for wanted in ("RAS", *ORIENTATIONS):
            turn = ornt.ornt_transform(ornt.axcodes2ornt(own), ornt.axcodes2ornt(wanted))
            expected = ornt.apply_orientation(volume.transpose(1, 2, 0), turn).transpose(2, 0, 1)
            axes = axes_between(own, wanted)
            np.testing.assert_array_equal(turned(volume, axes), expected)
            np.testing.assert_array_equal(turned(expected, back(axes)), volume)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_turned_input_says_where_its_voxels_lie(orientation, tmp_path):
    (source,) = find_inputs([save(tmp_path / "scan.nii.gz", VOXELS, orientation)])
    ours = oriented(source, "RAS")
    np.testing.assert_array_equal(ours.read()[0], VOXELS.transpose(2, 0, 1))
    assert (ours.size, ours.spacing) == ((11, 14, 9), (2.0, 1.5, 1.0))
    np.testing.assert_allclose(ours.grid.affine, AFFINE)
    np.testing.assert_array_equal(ours.slices()[3].read()[0], VOXELS[:, :, 3])
    assert oriented(source, orientation) is source


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_hypotheses_do_not_depend_on_the_axes_of_the_file(orientation, model_file, tmp_path):
    request = Request(n=4, seed=1, mean=True)
    for name, stored in (("a", "RAS"), ("b", orientation)):
        path = save(tmp_path / name / "scan.nii.gz", VOXELS, stored)
        (outcome,) = run(model_file, [path], tmp_path / name / "out", request)
        assert (outcome.status, outcome.warnings) == ("done", {})
    for name in ("hypotheses", "mean"):
        path = tmp_path / "b" / "out" / "scan" / f"{name}.nii.gz"
        written, given = nibabel.load(path), nibabel.load(tmp_path / "b" / "scan.nii.gz")
        assert written.shape[:3] == given.shape
        np.testing.assert_allclose(written.affine, given.affine)
        ours, plain = (as_ras(tmp_path / each / "out" / "scan" / f"{name}.nii.gz") for each in "ab")
        np.testing.assert_array_equal(ours.get_fdata(), plain.get_fdata())
        assert 0.1 < plain.get_fdata().mean() < 0.9
    tables = [list(csv.DictReader((tmp_path / each / "out/scan/measures.csv").open())) for each in "ab"]
    assert tables[0] == tables[1]


def test_a_file_that_does_not_say_how_it_lies_is_taken_as_it_is_with_a_warning(model_file, tmp_path):
    image = nibabel.Nifti1Image(VOXELS, None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nibabel.save(image, tmp_path / "scan.nii.gz")
    (outcome,) = run(model_file, [tmp_path / "scan.nii.gz"], tmp_path / "out", Request(n=2))
    assert outcome.status == "done"
    assert outcome.warnings["orientation"].startswith("scan: does not say how its axes lie in the body, but the model")
    assert json.loads((tmp_path / "out/scan/answer.json").read_text())["image"]["orientation"] is None


def test_info_names_the_orientation_of_a_model(model_file, capsys):
    assert main(["info", str(model_file)]) == 0
    assert "\norientation " in capsys.readouterr().out


def test_annotations_are_turned_as_their_image_is(model_file, tmp_path):
    scan = save(tmp_path / "scan.nii.gz", VOXELS, "PSR")
    mask = np.zeros(VOXELS.shape, np.uint8)
    mask[2:6, 3:5, 4:9] = 1
    file = save(tmp_path / "mask.nii.gz", mask, "PSR")
    (source,) = find_inputs([scan])
    read = read_annotation(file, oriented(source, "RAS"), binary=True)
    np.testing.assert_array_equal(read, mask.transpose(2, 0, 1))
    found = assess_files(model_file, scan, [file], Request(n=8))
    plain = assess_files(
        model_file,
        save(tmp_path / "plain" / "scan.nii.gz", VOXELS),
        [save(tmp_path / "plain" / "mask.nii.gz", mask)],
        Request(n=8),
    )
    assert found.rows() == plain.rows()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_annotations_may_lie_otherwise_than_their_image(orientation, tmp_path):
    mask = np.zeros(VOXELS.shape, np.uint8)
    mask[2:6, 3:5, 4:9] = 1
    file = save(tmp_path / "mask.nii.gz", mask, orientation)
    for stored, wanted in (("PSR", "RAS"), ("RAS", None)):
        (source,) = find_inputs([save(tmp_path / "scan.nii.gz", VOXELS, stored)])
        read = read_annotation(file, oriented(source, wanted), binary=True)
        np.testing.assert_array_equal(read, mask.transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_records_of_any_orientation_are_read_on_the_same_axes(orientation, tmp_path):
    mask = (VOXELS > 0.5).astype(np.uint8)
    for name, stored in (("a", "RAS"), ("b", orientation)):
        save(tmp_path / "images" / f"{name}.nii.gz", VOXELS, stored)
        save(tmp_path / "masks" / "r1" / f"{name}.nii.gz", mask, stored if name == "a" else "LPI")
    stored = folders.read(tmp_path, whole=True)
    assert [header_of(stored, place).orientation for place in range(2)] == ["RAS", orientation]
    assert orientation_of(stored) is None
    for whole in (True, False):
        records = folders.read(tmp_path, whole=whole, orientation="RAS")
        half = len(records) // 2
        for one, other in zip(records[:half], records[half:], strict=True):
            np.testing.assert_array_equal(one.image, other.image)
            np.testing.assert_array_equal(one.masks, other.masks)
            assert one.spacing == pytest.approx(other.spacing)
        assert orientation_of(records) == "RAS"
        assert spacing_of(records) == pytest.approx((2.0, 1.5, 1.0)[-3 if whole else -2 :])
        assert header_of(records, half).shape == records[half].image.shape
    with pytest.raises(ValueError, match="orientation: got 'RAR', expected where rows, columns and slices count to"):
        folders.read(tmp_path, orientation="RAR")


def test_a_checkpoint_keeps_the_orientation(model_file, tmp_path):
    model = fastpunet.load(model_file)
    assert model.orientation == fastpunet.windowed(model, 8).orientation == "RAS"
    model.orientation = "up"
    fastpunet.save(model, tmp_path / "odd.safetensors")
    with pytest.raises(ValueError, match="checkpoint: .*orientation: got 'up'"):
        fastpunet.load(tmp_path / "odd.safetensors")


def test_a_volume_of_other_spacing_is_resampled_and_its_hypotheses_brought_back(model_file, tmp_path):
    """The same scan with slices of half the thickness, each twice: hypotheses on its grid, of about the same volume."""
    model = fastpunet.load(model_file)
    smooth = np.cumsum(np.cumsum(VOXELS - VOXELS.mean(), 0), 2)
    smooth = ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    model.spacing = (2.0, 1.5, 1.0)
    with torch.no_grad():
        volume = torch.from_numpy(np.ascontiguousarray(smooth.transpose(2, 0, 1)))[None, None]
        logits = fastpunet.sample(model, volume, 16, seed=0, output="logits")
        model.fcomb.last_layer.bias.sub_(logits.median())
    fastpunet.save(model, tmp_path / "spaced.safetensors")
    plain = save(tmp_path / "plain" / "scan.nii.gz", smooth)
    thin = np.diag([1.5, 1.0, 1.0, 1.0])
    fine = save(tmp_path / "fine" / "scan.nii.gz", np.repeat(smooth, 2, 2), "PSR", thin)
    volumes = []
    for path in (plain, fine):
        run(tmp_path / "spaced.safetensors", [path], path.parent / "out", Request(n=4, seed=1))
        written = nibabel.load(path.parent / "out/scan/hypotheses.nii.gz")
        assert written.shape[:3] == nibabel.load(path).shape
        rows = list(csv.DictReader((path.parent / "out/scan/measures.csv").open()))
        volumes.append([float(row["volume_mm3"]) for row in rows])
        voxels = np.asarray(written.dataobj).sum((0, 1, 2))
        size = float(np.prod(nibabel.load(path).header.get_zooms()[:3]))
        np.testing.assert_allclose(volumes[-1], voxels * size, rtol=1e-4)
    whole = VOXELS.size * np.prod(SPACING)
    assert 0.1 * whole < np.mean(volumes[0]) < 0.9 * whole
    np.testing.assert_allclose(*volumes, atol=0.03 * whole)


def ball(centre, radius):
    """Inside of a ball in mm, on 24 x 32 x 12 voxels of SPACING."""
    places = np.stack(np.indices((24, 32, 12)), -1) * SPACING
    return (np.linalg.norm(places - centre, axis=-1) < radius).astype(np.uint8)


def test_volumes_of_raters_are_scored_in_ml_and_measured_in_mm(tmp_path):
    """Two raters draw balls of 8 and 10 mm, in files of different axes. The CRPS of a model that draws nothing is their
    mean volume."""
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, (4, 6), 2, convs_per_block=1, dims=3).eval()
    model.intensity, model.orientation = Intensity("range", 0, 1), "RAS"
    with torch.no_grad():
        model.fcomb.last_layer.bias.fill_(-1e4)
    fastpunet.save(model, tmp_path / "m.safetensors")
    masks = [ball((18, 16, 12), radius) for radius in (8, 10)]
    for place, stored in enumerate(["RAS", "PSR"]):
        save(tmp_path / "data" / "images" / f"case{place}.nii.gz", masks[1].astype(np.float32), stored)
        for name, mask in zip("ab", masks, strict=True):
            save(tmp_path / "data" / "masks" / name / f"case{place}.nii.gz", mask, stored)
    found = compare([str(tmp_path / "m.safetensors")], tmp_path / "data", ns=(4,))
    volumes = [float(mask.sum()) * 3 / 1000 for mask in masks]
    row = next(line for line in tables(found).splitlines() if line.startswith("| CRPS of the volume, ml"))
    assert f"{np.mean(volumes):.3f}" in row
    np.testing.assert_allclose(volumes, [4 / 3 * np.pi * radius**3 / 1000 for radius in (8, 10)], rtol=0.05)
    records = folders.read(tmp_path / "data", whole=True, orientation="RAS")
    for record in records:
        measured = measure(torch.from_numpy(record.masks)[None], spacing=record.spacing).values
        np.testing.assert_allclose(measured["volume"][0], 1000 * np.array(volumes))
        for name in ("maximum_3d_diameter", "longest_diameter"):
            assert np.abs(measured[name][0].numpy() - (16, 20)).max() < 2
