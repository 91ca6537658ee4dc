"""Latent space analysis: the grid, the axes, the graders in it, and the picture."""

import numpy as np
import pytest
import torch

from fastpunet import ProbabilisticUNet, Sampler, cli, load, save
from fastpunet.data import Record
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.hypotheses import LatentPlane, decode_grid
from fastpunet.models import MHeads
from fastpunet.reports.latent_figure import latent_figure


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, (6, 8), latent_dim=4, convs_per_block=1)
    with torch.no_grad():
        model.fcomb.last_layer.weight *= 30  # so that hypotheses differ
    return model


@pytest.fixture
def image():
    return torch.rand(1, 12, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    return (torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(2)) < 0.4).to(torch.uint8)


def test_the_grid_is_what_the_sampler_decodes_there(model, image):
    grid = decode_grid(model, image, axes=(3, 1), size=5, span=2.0)
    sampler = Sampler(model, precision="ieee")
    encoding = sampler.encode(image[None])
    assert torch.equal(grid.plane.mu, encoding.mu[0])
    assert grid.steps.tolist() == [-2, -1, 0, 1, 2]
    for i, j in ((0, 4), (2, 2), (3, 0)):
        z = encoding.mu[0].clone()
        z[3] += grid.steps[i] * encoding.sigma[0, 3]
        z[1] += grid.steps[j] * encoding.sigma[0, 1]
        torch.testing.assert_close(grid.z[i, j], z)
        assert torch.equal(grid.hypotheses[i, j], sampler.decode(encoding, z[None, None])[0, 0])
    assert len(grid.hypotheses.flatten(0, 1).unique(dim=0)) > 1


def test_positions_are_those_that_latents_come_from():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(5, 2, generator=generator)).Q.T
    plane = LatentPlane(torch.randn(5, generator=generator), torch.rand(5, generator=generator) + 0.1, axes)
    positions = torch.randn(7, 2, generator=generator)
    torch.testing.assert_close(plane.positions(plane.latents(positions)), positions)
    sigma = torch.rand(5, generator=generator)
    drawn = plane.mu + sigma * torch.randn(200_000, 5, generator=generator)
    torch.testing.assert_close(plane.covariances(sigma), torch.cov(plane.positions(drawn).T), rtol=0.03, atol=0.01)
    torch.testing.assert_close(plane.covariances(plane.sigma), torch.eye(2))  # the prior itself


def test_principal_axes_are_those_that_hypotheses_depend_on(image):
    """f_comb takes two dimensions of z alone, one of them more strongly; the others do not change a thing."""
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, (6, 8), latent_dim=4, convs_per_block=1)
    strong, weak = torch.eye(4)[2], torch.eye(4)[0]
    with torch.no_grad():
        first = model.fcomb.layers[0]
        first.weight[:, 6:, 0, 0] = 0
        first.weight[0, 6:, 0, 0], first.weight[1, 6:, 0, 0] = strong, 0.3 * weak
        first.bias[:2] = 4.0  # where the ReLU is mostly open
        model.prior.conv_layer.weight[4:].zero_()
        model.prior.conv_layer.bias[4:].zero_()  # sigma 1
    grid = decode_grid(model, image)
    plane = torch.stack((strong, weak))
    inside = grid.plane.axes @ plane.T @ plane
    torch.testing.assert_close(inside, grid.plane.axes, atol=1e-6, rtol=0)
    assert (grid.plane.axes @ strong).abs().argmax() == 0
    assert float(grid.shares.sum()) == pytest.approx(1, abs=1e-4)
    assert grid.shares[0] > grid.shares[1]


def test_graders_are_at_the_mean_of_their_posterior(model, image, labels):
    grid = decode_grid(model, image, labels, axes=(0, 2), size=3)
    with torch.no_grad():
        posterior = model.posterior_of(image.expand(3, -1, -1, -1), labels)
    mu, sigma = grid.plane.mu, grid.plane.sigma
    expected = ((posterior.mean - mu) / sigma)[:, [0, 2]]
    torch.testing.assert_close(grid.grader_positions, expected, rtol=1e-4, atol=1e-5)
    variances = (posterior.stddev / sigma).square()[:, [0, 2]]
    torch.testing.assert_close(grid.grader_covariances, torch.diag_embed(variances), rtol=1e-4, atol=1e-5)
    assert decode_grid(model, image, size=2).grader_positions.shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"axes": (1, 1)}, ValueError, r"axes: got \(1, 1\), expected .*two different"),
        ({"axes": (0, 4)}, ValueError, r"axes: got \(0, 4\), expected latent dimensions of 0 .. 3"),
        ({"size": 1}, ValueError, "size: got 1, expected a whole number of at least 2"),
        ({"span": 0}, ValueError, "span: got 0, expected a positive number"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"image": torch.zeros(1, 1, 4, 4)}, ValueError, r"image: got \(1, 1, 4, 4\), expected a tensor \(C, H, W\)"),
        ({"labels": torch.zeros(2, 4, 4, dtype=torch.uint8)}, ValueError, r"labels: got shape \(2, 4, 4\)"),
        ({"labels": torch.zeros(2, 12, 16)}, TypeError, "labels: got torch.float32"),
        ({"model": MHeads(1, 1, (4,), heads=2)}, TypeError, "model: got MHeads, expected a Probabilistic U-Net"),
    ],
)
def test_errors_name_the_argument(model, image, change, error, message):
    with pytest.raises(error, match=message):
        decode_grid(**{"model": model, "image": image, **change})


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
