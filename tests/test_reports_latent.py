"""The picture of a latent space, and its command."""

import numpy as np
import pytest
import torch

from fastpunet import ProbabilisticUNet, cli, load, save
from fastpunet.data import IGNORE, Record, camvid, cityscapes
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.hypotheses import LatentGrid, LatentPlane, decode_grid
from fastpunet.models import MHeads
from fastpunet.reports import latent
from fastpunet.reports import records as data_records
from fastpunet.reports.crops import window_around
from fastpunet.reports.latent_figure import latent_figure


def make_grid(hypotheses, positions=(), covariances=()):
    """Over the square with corners at 1 and -1, hypotheses (2, 2, H, W), and graders anywhere."""
    return LatentGrid(
        plane=LatentPlane(torch.zeros(2), torch.ones(2), torch.eye(2)),
        shares=torch.tensor([0.7, 0.3]),
        steps=torch.tensor([-1.0, 1.0]),
        z=torch.zeros(2, 2, 2),
        hypotheses=torch.from_numpy(hypotheses),
        grader_positions=torch.tensor(positions).reshape(-1, 2),
        grader_covariances=torch.tensor(covariances).reshape(-1, 2, 2),
    )


def black(masks):
    return Record(np.zeros((1, *masks.shape[1:]), np.float32), masks, 0)


@pytest.mark.parametrize("classes", [1, 3])
def test_the_picture_has_everything_at_its_place(classes):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, classes, (4, 6), latent_dim=2, convs_per_block=1)
    rng = np.random.default_rng(0)
    masks = rng.integers(0, max(2, classes), (2, 20, 24)).astype(np.uint8)
    record = Record(rng.random((1, 20, 24)).astype(np.float32), masks, 0)
    grid = decode_grid(model, torch.from_numpy(record.image), torch.from_numpy(masks), axes=(0, 1), size=3)
    figure = latent_figure(grid, record, classes, ("a", "b"))
    *row, axis = figure.axes
    assert [cell.get_title() for cell in row] == ["image", "grader 0", "grader 1"]
    assert figure.get_figwidth() == 3.5
    assert [patch.radius for patch in axis.patches[:3]] == [1, 2, 3]
    for k, ellipse in enumerate(axis.patches[3:]):
        np.testing.assert_allclose(ellipse.center, grid.grader_positions[k], rtol=1e-5)
        area = np.pi / 4 * ellipse.width * ellipse.height
        assert area == pytest.approx(np.pi * grid.grader_covariances[k].det().sqrt().item(), rel=1e-3)
    centres = {(sum(image.get_extent()[:2]) / 2, sum(image.get_extent()[2:]) / 2) for image in axis.images}
    assert centres == {(x, y) for x in (-3, 0, 3) for y in (-3, 0, 3)}
    numbers = [text.get_text() for text in axis.texts if text.get_text().isdigit()]
    assert numbers == ["0", "1"]


def test_a_segmentation_is_painted_and_outlined_at_its_position():
    """One hypothesis is a block at the top left, and black the rest: the block is in that cell, at its top left."""
    hypotheses = np.zeros((2, 2, 16, 16), np.uint8)
    hypotheses[1, 0, 2:6, 3:7] = 1
    figure = latent_figure(make_grid(hypotheses), black(np.zeros((1, 16, 16), np.uint8)), 1, ("a", "b"))
    axis = figure.axes[-1]
    painted = [image for image in axis.images if image.get_array().any()]
    assert len(painted) == 1
    np.testing.assert_allclose(painted[0].get_extent(), (0.03, 1.97, -1.97, -0.03), rtol=2e-6)  # float32
    assert painted[0].origin == "upper"
    assert np.array_equal(painted[0].get_array().any(-1), hypotheses[1, 0])
    assert len(axis.collections) == 1
    outline = axis.collections[0].get_paths()[0].vertices
    left, top = 0.03 + 1.94 * 3 / 16, -0.03 - 1.94 * 2 / 16
    np.testing.assert_allclose(outline.min(0), (left, top - 1.94 / 4), atol=1e-6)
    np.testing.assert_allclose(outline.max(0), (left + 1.94 / 4, top), atol=1e-6)


def test_unannotated_pixels_are_neither_outlined_nor_cropped_around():
    masks = np.zeros((2, 64, 64), np.uint8)
    masks[0, 10:20, 30:34] = 1
    masks[:, 50:] = IGNORE
    masks[:, 20:22, 30:34] = IGNORE  # within the window
    figure = latent_figure(make_grid(np.zeros((2, 2, 64, 64), np.uint8)), black(masks), 1, ("a", "b"))
    image, first, second, _ = figure.axes
    assert image.images[0].get_array().shape[:2] == (18, 18)
    assert len(first.collections) == 1
    assert np.ptp(first.collections[0].get_paths()[0].vertices, axis=0) == pytest.approx([4, 10])
    assert not second.collections


@pytest.mark.parametrize(
    ("rows", "columns", "window"),
    [
        ((20, 30), (25, 29), (slice(16, 34), slice(18, 36))),  # 10 pixels and a margin of 4, around the centre
        ((20, 22), (40, 42), (slice(13, 29), slice(33, 49))),  # no smaller than 16
        ((0, 2), (62, 64), (slice(0, 16), slice(48, 64))),  # moved into the image
        ((0, 64), (0, 1), (slice(0, 64), slice(0, 64))),  # no larger than it
        ((0, 0), (0, 0), (slice(0, 64), slice(0, 64))),  # nothing
    ],
)
def test_windows_are_squares_around_all_masks(rows, columns, window):
    masks = np.zeros((2, 64, 64), np.uint8)
    masks[1, slice(*rows), slice(*columns)] = 1
    assert window_around(masks) == window


@pytest.mark.parametrize("covariance", [[[5.0, -4.0], [-4.0, 5.0]], [[0.01, 0.0], [0.0, 4.0]]])
def test_an_ellipse_is_at_one_standard_deviation_in_every_direction(covariance):
    grid = make_grid(np.zeros((2, 2, 16, 16), np.uint8), [[0.5, -1.5]], covariance)
    axis = latent_figure(grid, black(np.zeros((1, 16, 16), np.uint8)), 1, ("a", "b")).axes[-1]
    angles = np.linspace(0, 2 * np.pi, 12)
    circle = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    offsets = axis.patches[-1].get_patch_transform().transform(circle) - (0.5, -1.5)
    mahalanobis = np.einsum("ki,ij,kj->k", offsets, np.linalg.inv(covariance), offsets)
    np.testing.assert_allclose(mahalanobis, 1, rtol=1e-4)


def test_numbers_part_where_graders_agree_and_a_posterior_may_be_a_line():
    positions = [[0.5, 0.5], [0.5, 0.5], [0.52, 0.5], [-1.5, 0.0]]
    grid = make_grid(np.zeros((2, 2, 16, 16), np.uint8), positions, [[[4.0, 10.0], [10.0, 25.0]]] * 4)
    axis = latent_figure(grid, black(np.zeros((4, 16, 16), np.uint8)), 1, ("a", "b")).axes[-1]
    places = {text.get_text(): np.array(text.get_position()) for text in axis.texts}
    between = [np.linalg.norm(places[a] - places[b]) for a, b in ("01", "02", "12")]
    assert min(between) > 0.99 * 0.05 * np.ptp(axis.get_xlim())
    assert max(np.linalg.norm(places[k] - (0.5, 0.5)) for k in "012") < 0.5
    np.testing.assert_allclose(places["3"], (-1.5, 0), atol=1e-3)
    assert all(np.isfinite((ellipse.width, ellipse.height)).all() for ellipse in axis.patches[3:])


@pytest.mark.parametrize(
    ("kind", "classes", "pavement", "twin"),
    [("camvid", len(camvid.CLASSES), 4, 11), ("cityscapes", len(cityscapes.CLASSES), 1, 19)],
)
def test_class_flips_are_those_of_the_data_set(kind, classes, pavement, twin, tmp_path, monkeypatch):
    """The four likeliest modes of a scene that is all pavement: as it is, or all its twin."""
    save(ProbabilisticUNet(3, classes + 5, (4,), latent_dim=2, convs_per_block=1), tmp_path / "m.safetensors")
    scene = Record(np.zeros((3, 8, 8), np.float32), np.full((1, 8, 8), pavement, np.uint8), 0)
    drawn = []
    monkeypatch.setattr(data_records.sources, "read", lambda *_, **__: [scene])
    monkeypatch.setattr(latent, "latent_figure", lambda *seen: drawn.append(seen) or latent_figure(*seen))
    command = ["latent", str(tmp_path / "m.safetensors"), "--data", "x", "--kind", kind, "--class-flips", "--size", "2"]
    assert cli.main([*command, "--output", str(tmp_path / "x.png")]) == 0
    _, record, _, _, noun = drawn[0]
    assert noun == "mode"
    assert record.masks.shape == (4, 8, 8)
    assert set(np.unique(record.masks)) == {pavement, twin}


def test_the_command_writes_each_format_whole(tmp_path, capsys, bundle):
    for name, start in (("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")):
        command = ["latent", "lesions", "--output", str(tmp_path / name), "--size", "3", "--image", "2"]
        assert cli.main([*command, "--data", str(bundle)]) == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in ("a.png", "a.pdf", "a.svg")]
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.pdf", "a.svg", bundle.name}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "x.bmp"], "output: got"),
        (["--output", "/proc/nowhere/x.png"], "output: got '/proc/nowhere/x.png', where nothing can be written"),
        (["--output", "x.png", "--image", "99999"], "image: got 99999, expected 0 .. "),
        (["--output", "x.png", "--axes", "0", "9"], "axes: got [0, 9]"),
        (["--output", "x.png", "--axes", "0", "0"], "axes: got [0, 0]"),
        (["--output", "x.png", "--size", "1"], "size: got 1"),
        (["--output", "x.png", "--data", "nowhere.npz"], "nowhere.npz"),
        (["--output", "x.png", "--class-flips"], "class-flips: got data of kind 'lesions', expected street"),
        (
            ["--output", "x.png", "--class-flips", "--data", "x.npz", "--kind", "lidc"],
            "class-flips: got data of kind 'lidc', expected street",
        ),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["latent", "lesions", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_latent_is_refused(tmp_path, capsys):
    save(MHeads(1, 1, (4,), heads=2), tmp_path / "m.safetensors")
    assert cli.main(["latent", str(tmp_path / "m.safetensors"), "--output", str(tmp_path / "x.png")]) == 2
    assert "model: got MHeads" in capsys.readouterr().err


def test_on_lesions_the_first_axis_is_their_size():
    """The shipped weights tell absent, tight, medium and wide apart along one axis, in this order."""
    record = SyntheticLesions(4, seed=9)[0]
    grid = decode_grid(load("lesions"), torch.from_numpy(record.image), torch.from_numpy(record.masks), size=5)
    assert grid.shares[0] > 0.9
    along = grid.grader_positions[:, 0]
    assert torch.equal(along.argsort(descending=bool(along[0] > along[-1])), torch.arange(4))
    areas = grid.hypotheses.flatten(2).sum(2)[:, 2].float()
    assert torch.corrcoef(torch.stack((areas, grid.steps)))[0, 1].abs() > 0.9
