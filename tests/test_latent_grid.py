"""Latent grids: positions, axes, decoded maps and graders' posteriors against what is computed by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fastpunet import ProbabilisticUNet, Sampler
from fastpunet.data import IGNORE
from fastpunet.hypotheses import LatentPlane, decode_grid
from fastpunet.latents import draw_latents
from fastpunet.models import SSN, DropoutUNet, Image2ImageVAE, MHeads, UNetEnsemble

LATENT = 5


def make_model(classes: int = 1, latent_dim: int = LATENT) -> ProbabilisticUNet:
    """Untrained, but with a prior that is not standard and hypotheses that differ."""
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, classes, channels=(8, 8), latent_dim=latent_dim, convs_per_block=1)
    with torch.no_grad():
        model.fcomb.last_layer.weight.mul_(4)
        model.prior.conv_layer.bias.uniform_(-0.7, 0.7)
        model.posterior.conv_layer.bias.uniform_(-0.7, 0.7)
        model.fcomb.last_layer.bias.sub_(model(torch.rand(8, 1, 9, 7)).mean((0, 2, 3)))
    return model


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 9, 7, generator=torch.Generator().manual_seed(1))


def jacobian_products(model: ProbabilisticUNet, image: Tensor, draws: int) -> Tensor:
    """E[J^T J] by automatic differentiation in float64 over the same draws from the prior, one after the other."""
    with torch.no_grad():
        encoding = Sampler(model, precision="ieee").encode(image[None])
    model = model.double()
    features, mu, sigma = (t.double() for t in (encoding.features, encoding.prior.mu, encoding.prior.sigma))

    def probs(eps: Tensor) -> Tensor:
        logits = model.fcomb(features, mu + sigma * eps)[0]
        return (logits.sigmoid() if len(logits) == 1 else logits.softmax(0)).flatten()

    z = draw_latents(encoding.prior.mu, encoding.prior.sigma, draws, seed=0)[0].double()
    jacobians = [torch.autograd.functional.jacobian(probs, ((one - mu) / sigma)[0]) for one in z]
    model.float()
    return torch.stack([jacobian.T @ jacobian for jacobian in jacobians]).mean(0)


@pytest.mark.parametrize("classes", [1, 3])
def test_the_grid_holds_what_the_sampler_decodes_at_its_positions(classes, image):
    model = make_model(classes)
    grid = decode_grid(model, image, axes=(3, 1), size=5, span=2.0)
    sampler = Sampler(model, precision="ieee")
    encoding = sampler.encode(image[None])
    z = encoding.prior.mu[0].repeat(3, 1)  # centre, [0, 4] and [3, 2]
    z[1, 3] -= 2 * encoding.prior.sigma[0, 3]
    z[1, 1] += 2 * encoding.prior.sigma[0, 1]
    z[2, 3] += encoding.prior.sigma[0, 3]
    decoded = sampler.decode(encoding, z[None])[0]
    assert len(decoded.unique(dim=0)) == 3
    for k, (i, j) in enumerate([(2, 2), (0, 4), (3, 2)]):
        torch.testing.assert_close(grid.z[i, j], z[k])
        assert torch.equal(grid.hypotheses[i, j], decoded[k])
    torch.testing.assert_close(grid.steps, torch.tensor([-2.0, -1, 0, 1, 2]))
    assert grid.hypotheses.dtype == torch.uint8


def test_positions_and_latents_are_each_others_inverse():
    rng = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(LATENT, 2, generator=rng)).Q.T
    plane = LatentPlane(torch.randn(LATENT, generator=rng), torch.rand(LATENT, generator=rng) + 0.1, axes)
    positions = torch.randn(4, 3, 2, generator=rng)
    torch.testing.assert_close(plane.positions(plane.latents(positions)), positions)
    torch.testing.assert_close(plane.latents(torch.zeros(2)), plane.mu)
    outside = torch.linalg.svd(axes).Vh[2] * plane.sigma  # orthogonal to the plane in the prior's units
    torch.testing.assert_close(plane.positions(plane.latents(positions) + 3 * outside), positions, atol=1e-5, rtol=1e-5)


def test_covariances_are_those_of_projected_draws():
    half = 0.5**0.5
    plane = LatentPlane(torch.zeros(3), torch.tensor([1.0, 2, 1]), torch.tensor([[half, half, 0], [-half, half, 0]]))
    covariance = plane.covariances(torch.tensor([[1.0, 2, 7], [3, 2, 7]]))
    torch.testing.assert_close(covariance, torch.tensor([[[1.0, 0], [0, 1]], [[5.0, -4], [-4, 5]]]))
    z = torch.randn(100_000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 2, 7])
    np.testing.assert_allclose(np.cov(plane.positions(z).T), covariance[1], atol=0.1)


def test_principal_axes_are_the_only_dimensions_that_matter(image):
    model = make_model()
    with torch.no_grad():
        model.fcomb.layers[0].weight[:, [8 + 0, 8 + 2, 8 + 3]] = 0  # features come first
    grid = decode_grid(model, image, size=2)
    others = grid.plane.axes[:, [0, 2, 3]]
    torch.testing.assert_close(others, torch.zeros_like(others), atol=1e-5, rtol=0)
    assert grid.shares.sum() == pytest.approx(1, abs=1e-5)
    assert grid.shares[0] > grid.shares[1]
    chosen = decode_grid(model, image, axes=(4, 1), size=2)
    assert chosen.shares.sum() == pytest.approx(1, abs=1e-5)
    assert decode_grid(model, image, axes=(0, 2), size=2).shares.tolist() == [0, 0]


@pytest.mark.parametrize("classes", [1, 3])
def test_principal_axes_are_those_of_the_jacobian_by_automatic_differentiation(classes, image):
    model = make_model(classes)
    grid = decode_grid(model, image, size=2)
    values, vectors = np.linalg.eigh(jacobian_products(model, image, draws=64).numpy())
    np.testing.assert_allclose(grid.shares, values[::-1][:2] / values.sum(), rtol=0.01)
    cosines = np.abs(np.sum(grid.plane.axes.numpy() * vectors[:, ::-1][:, :2].T, axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    torch.testing.assert_close(grid.plane.axes @ grid.plane.axes.T, torch.eye(2))
    assert (grid.plane.axes.gather(1, grid.plane.axes.abs().argmax(1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("classes", [1, 3])
def test_graders_are_where_their_posteriors_are(classes, image):
    model = make_model(classes)
    labels = torch.randint(0, max(2, classes), (4, 9, 7), generator=torch.Generator().manual_seed(2))
    labels[1, :4] = IGNORE
    grid = decode_grid(model, image, labels, axes=(2, 0), size=2, ignore_index=IGNORE)
    for k in range(4):
        with torch.no_grad():
            q = model.posterior_of(image[None], labels[k : k + 1], IGNORE)
            p = model.prior(image[None])
        position = ((q.mean - p.mean) / p.stddev)[0, [2, 0]]
        spread = (q.stddev / p.stddev)[0, [2, 0]]
        torch.testing.assert_close(grid.grader_positions[k], position, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(grid.grader_covariances[k], spread.square().diag(), atol=1e-5, rtol=1e-4)
    assert decode_grid(model, image, size=2).grader_positions.shape == (0, 2)


def test_a_grid_is_a_function_of_its_seed_alone(image):
    model = make_model()
    state = torch.get_rng_state()
    one, again, other = (decode_grid(model, image, size=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.plane.axes, again.plane.axes)
    assert not torch.equal(one.plane.axes, other.plane.axes)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", [DropoutUNet, UNetEnsemble, MHeads, Image2ImageVAE, SSN])
def test_methods_without_a_prior_over_f_combs_latents_are_refused(method, image):
    with pytest.raises(
        TypeError, match=f"^model: got {method.__name__}, expected a Probabilistic U-Net whose prior is a Gaussian"
    ):
        decode_grid(method(1, 1, (4, 4)), image)


class Port(torch.nn.Module):
    """The parts of a model written elsewhere, which has no posterior_of."""

    def __init__(self) -> None:
        super().__init__()
        own = make_model()
        self.unet, self.prior, self.fcomb = own.unet, own.prior, own.fcomb


def test_foreign_models_have_a_grid_without_graders(image):
    even = image[:, :8, :6]  # which a U-Net written elsewhere takes without padding
    grid, own = decode_grid(Port(), even, axes=(0, 1)), decode_grid(make_model(), even, axes=(0, 1))
    assert torch.equal(grid.hypotheses, own.hypotheses)
    with pytest.raises(
        TypeError, match="^model: got Port, expected a ProbabilisticUNet, whose posterior net is needed"
    ):
        decode_grid(Port(), image, torch.zeros(1, 9, 7, dtype=torch.long))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"axes": (0, 0)}, ValueError, r"^axes: got \(0, 0\), expected \"principal\" or two different"),
        ({"axes": (0, 1, 2)}, ValueError, "^axes: got"),
        ({"axes": (-1, 1)}, ValueError, "^axes: got"),
        ({"axes": (0, LATENT)}, ValueError, rf"^axes: got \(0, {LATENT}\), expected latent dimensions of 0 \.\. 4"),
        ({"axes": "pca"}, ValueError, "^axes: got 'pca'"),
        ({"axes": 1}, ValueError, "^axes: got 1"),
        ({"axes": (0.0, 1.0)}, ValueError, "^axes: got"),
        ({"size": 1}, ValueError, "^size: got 1, expected a whole number of at least 2"),
        ({"size": 3.0}, ValueError, "^size: got 3.0"),
        ({"span": 0}, ValueError, "^span: got 0"),
        ({"span": float("nan")}, ValueError, "^span: got nan"),
        ({"span": float("inf")}, ValueError, "^span: got inf"),
        ({"seed": -1}, ValueError, "^seed: got -1"),
        ({"image": torch.rand(1, 1, 9, 7)}, ValueError, r"^image: got \(1, 1, 9, 7\)"),
        ({"image": np.zeros((1, 9, 7))}, ValueError, "^image: got ndarray"),
        ({"image": torch.full((1, 9, 7), float("nan"))}, ValueError, "^images: got NaN"),
        ({"labels": torch.zeros(9, 7, dtype=torch.long)}, ValueError, r"^labels: got shape \(9, 7\), expected \(M, 9"),
        ({"labels": torch.zeros(0, 9, 7, dtype=torch.long)}, ValueError, "^labels: got shape"),
        ({"labels": torch.zeros(2, 8, 7, dtype=torch.long)}, ValueError, "^labels: got shape"),
        ({"labels": torch.zeros(2, 9, 7)}, TypeError, "^labels: got torch.float32"),
        ({"labels": np.zeros((2, 9, 7))}, TypeError, "^labels: got ndarray"),
        ({"labels": torch.full((2, 9, 7), 2)}, ValueError, r"^labels: got labels 2 \.\. 2"),
        ({"model": make_model(latent_dim=1)}, ValueError, "^model: its latent has 1 dimension"),
        ({"model": 3}, TypeError, "^model: got int"),
    ],
)
def test_bad_input_is_named(options, error, message, image):
    with pytest.raises(error, match=message):
        decode_grid(**{"model": make_model(), "image": image, **options})


def test_a_volumes_grid_and_graders():
    """Positions of a 3-D model decode as its sampler does; graders lie where the posterior of each is."""
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, channels=(8, 8), latent_dim=3, convs_per_block=1, dims=3)
    with torch.no_grad():
        model.fcomb.last_layer.weight.mul_(8)
        model.posterior.conv_layer.bias.uniform_(-0.7, 0.7)
    image = torch.rand(1, 4, 6, 5)
    labels = (torch.rand(2, 4, 6, 5) > 0.5).long()
    grid = decode_grid(model, image, labels, axes=(2, 0), size=3, span=1.0)
    sampler = Sampler(model, precision="ieee")
    encoding = sampler.encode(image[None])
    z = encoding.prior.mu[0].clone()
    z[2] += encoding.prior.sigma[0, 2]
    z[0] -= encoding.prior.sigma[0, 0]
    assert torch.equal(grid.hypotheses[2, 0], sampler.decode(encoding, z[None, None])[0, 0])
    with torch.no_grad():
        posterior = model.posterior_of(image.expand(2, 1, 4, 6, 5), labels)
    shifts = (posterior.mean - encoding.prior.mu) / encoding.prior.sigma
    torch.testing.assert_close(grid.grader_positions, shifts[:, [2, 0]], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"image: got \(1, 6, 5\), expected a tensor \(C, D, H, W\)"):
        decode_grid(model, image[:, 0])


@pytest.mark.parametrize("axes", ["principal", (0, 1)])
def test_a_default_dtype_of_float64_changes_nothing(axes):
    torch.manual_seed(0)
    model, image = ProbabilisticUNet(channels=(4, 6), latent_dim=3), torch.rand(1, 8, 8)
    expected = decode_grid(model, image, size=3, axes=axes)
    torch.set_default_dtype(torch.float64)
    try:
        grid = decode_grid(model, image, size=3, axes=axes)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(grid.z, expected.z)
    assert torch.equal(grid.hypotheses, expected.hypotheses)
