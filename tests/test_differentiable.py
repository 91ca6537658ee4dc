"""Decoding with gradients, and the density of priors, against the sampler, finite differences and other libraries."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, Sampler
from fastpunet.hypotheses.plausibility import mahalanobis, share_farther
from fastpunet.latents import Noise
from fastpunet.models import SSN, DropoutUNet, Image2ImageVAE, MHeads, UNetEnsemble
from fastpunet.models.priors import AxisAligned, LowRank, Mixture
from fastpunet.models.sampled_prior import Sampled

SMALL = {"channels": (4, 6), "convs_per_block": 1}


def ending_in(last: nn.Module) -> PortModel:
    model = PortModel(2, 1, (4, 6), 3)
    model.fcomb.last_layer = nn.Sequential(model.fcomb.last_layer, last)
    return model


def with_own_combiner() -> PortModel:
    """A combiner that no kernel can compute: tanh between its layers."""
    model = PortModel(2, 1, (4, 6), 3)
    model.fcomb.layers = nn.Sequential(*[nn.Tanh() if isinstance(m, nn.ReLU) else m for m in model.fcomb.layers])
    return model


MODELS = {
    "binary": lambda: ProbabilisticUNet(2, 1, latent_dim=3, **SMALL),
    "classes": lambda: ProbabilisticUNet(2, 4, latent_dim=3, **SMALL),
    "volumes": lambda: ProbabilisticUNet(2, 1, latent_dim=3, dims=3, **SMALL),
    "port": lambda: PortModel(2, 1, (4, 6), 3),
    "own combiner": with_own_combiner,
}


def encoded(model, dims=2):
    sampler = Sampler(model, precision="ieee")
    images = torch.rand(2, 2, *(9, 7, 5)[:dims], generator=torch.Generator().manual_seed(0))
    return sampler, sampler.encode(images)


@pytest.mark.filterwarnings("ignore:the model's combiner")
@pytest.mark.parametrize("name", MODELS)
def test_differentiable_logits_are_the_samplers(name):
    torch.manual_seed(0)
    sampler, encoding = encoded(MODELS[name](), dims=3 if name == "volumes" else 2)
    z = 2 * torch.randn(2, 5, 3)
    expected = sampler.decode(encoding, z, output="logits")
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-5)):
        logits = sampler.method.differentiable_logits(encoding, z.to(dtype))
        assert logits.dtype == dtype
        torch.testing.assert_close(logits.float(), expected, rtol=tolerance, atol=tolerance)
    pixels = torch.tensor([5, 0, 11])
    some = sampler.method.differentiable_logits(encoding, z, pixels)
    torch.testing.assert_close(some, expected.flatten(3)[..., pixels], rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:the model's combiner")
@pytest.mark.parametrize("name", MODELS)
def test_their_gradients_are_finite_differences(name):
    torch.manual_seed(0)
    sampler, encoding = encoded(MODELS[name](), dims=3 if name == "volumes" else 2)
    z = torch.randn(2, 1, 3, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        total = sampler.method.differentiable_logits(encoding, z).square().sum()
        (gradient,) = torch.autograd.grad(total, z)
    float32 = name == "own combiner"  # which computes in its weights' dtype
    step = 1e-2 if float32 else 1e-6
    for i, d in [(0, 0), (0, 2), (1, 1)]:
        moved = [z.detach().clone() for _ in range(2)]
        moved[0][i, 0, d] += step
        moved[1][i, 0, d] -= step
        with torch.no_grad():
            ahead, behind = (
                sampler.method.differentiable_logits(encoding, each).double().square().sum() for each in moved
            )
        expected = float(ahead - behind) / (2 * step)
        assert float(gradient[i, 0, d]) == pytest.approx(expected, rel=2e-2 if float32 else 1e-5, abs=1e-4)


@pytest.mark.parametrize("last", [nn.Sigmoid(), None])
def test_of_a_combiner_that_ends_in_probabilities_they_are_the_logits_before(last):
    torch.manual_seed(0)
    sampler, encoding = encoded(ending_in(last) if last else PortModel(2, 1, (4, 6), 3))
    z = torch.randn(2, 3, 3)
    logits = sampler.method.differentiable_logits(encoding, z)
    torch.testing.assert_close(logits.sigmoid(), sampler.decode(encoding, z, output="probs"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [DropoutUNet, MHeads, UNetEnsemble, Image2ImageVAE, SSN])
def test_other_methods_have_no_such_gradients(kind):
    sampler, encoding = encoded(kind(2, 1, **SMALL))
    with pytest.raises(TypeError, match="cannot be differentiated with respect to a latent, expected a Probabilistic"):
        sampler.method.differentiable_logits(encoding, torch.zeros(2, 1, 3))


def priors():
    rng = torch.Generator().manual_seed(3)
    mu, sigma = torch.randn(2, 3, generator=rng), torch.rand(2, 3, generator=rng) + 0.2
    factor = torch.randn(2, 3, 2, generator=rng)
    square = torch.linalg.cholesky(factor @ factor.mT + torch.eye(3))
    return {
        "independent": (AxisAligned(mu, sigma), torch.diag_embed(sigma**2)),
        "low rank": (LowRank(mu, factor, sigma), factor @ factor.mT + torch.diag_embed(sigma**2)),
        "full": (LowRank(mu, square), square @ square.mT),
    }


@pytest.mark.parametrize("name", ["independent", "low rank", "full"])
def test_densities_and_distances_of_gaussians_are_scipys(name):
    prior, covariance = priors()[name]
    z = 3 * torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(4))
    density, standard = prior.log_density(z), prior.standardised(z)
    for b in range(2):
        gaussian = stats.multivariate_normal(prior.mu[b].double(), covariance[b].double())
        np.testing.assert_allclose(density[b], gaussian.logpdf(z[b].double()), rtol=1e-5)
    one = type(prior)(*(None if part is None else part[:1] for part in vars(prior).values()))
    offset = (z[0] - prior.mu[0]).double().numpy()
    squared = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(covariance[0].double()), offset)
    np.testing.assert_allclose(mahalanobis(one, z[0]) ** 2, squared, rtol=1e-5)
    np.testing.assert_allclose(standard[0].norm(dim=1) ** 2, squared, rtol=1e-5)
    expected = stats.chi2.sf(mahalanobis(one, z[0]) ** 2, 3)
    np.testing.assert_allclose(share_farther(one, z[0], z[0]), expected, rtol=1e-6)


def test_a_mixtures_density_is_the_weighted_sum_and_its_share_that_of_draws():
    mu = torch.tensor([[0.0, 0.0]])
    parts = (AxisAligned(mu, torch.ones(1, 2)), AxisAligned(mu + 4, torch.full((1, 2), 0.5)))
    prior = Mixture(torch.tensor([[3.0, 1.0]]), parts)  # weights need not sum to 1
    z = torch.tensor([[[0.0, 0.0], [4.0, 4.0], [2.0, 1.0]]])
    expected = np.log(
        0.75 * stats.multivariate_normal([0, 0], np.eye(2)).pdf(z[0])
        + 0.25 * stats.multivariate_normal([4, 4], 0.25 * np.eye(2)).pdf(z[0])
    )
    np.testing.assert_allclose(prior.log_density(z)[0], expected, rtol=1e-6)
    with pytest.raises(TypeError, match="its prior, of the kind Mixture, has no Mahalanobis distance"):
        mahalanobis(prior, z[0])
    draws = prior.draw(Noise(0, torch.tensor([0]), 0, 500))[0]
    below = (prior.log_density(draws[None]) <= prior.log_density(z[:, 2:])).double().mean()
    assert share_farther(prior, z[0, 2:], draws).item() == below
    assert 0 < below < 0.3


def test_densities_that_do_not_exist_are_refused():
    flat = LowRank(torch.zeros(1, 2), torch.ones(1, 2, 1))
    with pytest.raises(TypeError, match="the covariance of its prior is singular"):
        flat.log_density(torch.zeros(1, 1, 2))
    with pytest.raises(TypeError, match="of the kind Sampled, has no density that is known"):
        Sampled([torch.distributions.Normal(0, 1)], 1).log_density(torch.zeros(1, 1, 1))


def test_draws_are_the_latents_that_the_sampler_decodes():
    torch.manual_seed(0)
    sampler, encoding = encoded(ProbabilisticUNet(2, 1, latent_dim=3, **SMALL))
    z = encoding.prior.draw(Noise(5, torch.tensor([4, 2]), 0, 6))
    drawn = sampler.draw(encoding, 6, seed=5, ids=torch.tensor([4, 2]), output="logits")
    assert torch.equal(sampler.decode(encoding, z, output="logits"), drawn)
