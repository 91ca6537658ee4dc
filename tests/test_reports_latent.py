"""The picture of a latent space, and its command."""

import numpy as np
import pytest
import torch

from fastpunet import ProbabilisticUNet, cli, load, save
from fastpunet.data import Record
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.hypotheses import decode_grid
from fastpunet.models import MHeads
from fastpunet.reports.latent_figure import latent_figure


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
        (["--output", "nowhere/x.png"], "expected a file in a folder that exists"),
        (["--output", "x.png", "--image", "99999"], "image: got 99999, expected 0 .. "),
        (["--output", "x.png", "--axes", "0", "9"], "axes: got [0, 9]"),
        (["--output", "x.png", "--axes", "0", "0"], "axes: got [0, 0]"),
        (["--output", "x.png", "--size", "1"], "size: got 1"),
        (["--output", "x.png", "--data", "nowhere.npz"], "nowhere.npz"),
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
