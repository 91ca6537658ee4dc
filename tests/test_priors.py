"""Priors of every kind: drawn, measured and compared with torch.distributions."""

import itertools

import pytest
import torch
from helpers.priors import BENT, KINDS, L, distribution_of, energy_distances, images_of, model_of
from helpers.replaying import check_sampler
from torch.distributions import Normal, kl_divergence

from fastpunet import Sampler, sample, summarize
from fastpunet.hypotheses import assess, decode_grid
from fastpunet.latents import Noise
from fastpunet.models.priors import AxisAligned, Flow, Mixture
from fastpunet.models.raters import of_rater

N = 20_000
IDS = torch.tensor([4, 2**40])
EVERY = pytest.mark.parametrize("kind", KINDS)


def prior_of(kind, count=2):
    with torch.no_grad():
        return model_of(kind).prior_for(images_of(count))


def drawn(prior, n=N, seed=7, first=0, ids=IDS, **options):
    return prior.draw(Noise(seed, ids, first, n, **options))


def own_draws(prior, n, seed):
    torch.manual_seed(seed)
    return distribution_of(prior).sample((n,)).movedim(0, 1)


@EVERY
def test_moments_are_those_of_torchs_own_draws_and_of_the_prior(kind):
    prior = prior_of(kind)
    z, own = drawn(prior).double(), own_draws(prior, N, seed=0)
    scale = own.std(1)
    assert ((z.mean(1) - own.mean(1)).abs() / scale < 6 * (2 / N) ** 0.5).all()
    standard = [(values - own.mean(1, keepdim=True)) / scale[:, None] for values in (z, own)]
    second = [torch.einsum("bni,bnj->bij", values, values) / N for values in standard]
    assert (second[0] - second[1]).abs().max() < 0.1
    mean, deviation = prior.moments()
    rough = 6 * (1 / N + isinstance(prior, Flow) / 1024) ** 0.5
    assert ((mean - own.mean(1)).abs() / scale < rough).all()
    torch.testing.assert_close(deviation.double(), scale, rtol=0.2 if isinstance(prior, Flow) else 0.05, atol=0)


@EVERY
def test_draws_are_as_far_from_torchs_own_draws_as_these_are_from_each_other(kind):
    """The energy distance of two samples, under the permutations of both; the second of ours has moved."""
    n, prior = 400, prior_of(kind, count=1)
    ours, theirs = drawn(prior, n, ids=IDS[:1])[0].double(), own_draws(prior, n, seed=1)[0]
    for values, differs in ((ours, False), (ours + 0.3 * ours.std(0), True)):
        found, null = energy_distances(values, theirs, permutations=500)
        assert (found > null.quantile(0.99)) == differs


@EVERY
def test_log_densities_are_those_of_torch_distributions(kind):
    prior = prior_of(kind)
    z = torch.cat((drawn(prior, 50), 3 * torch.randn(2, 50, L, generator=torch.Generator().manual_seed(0))), 1)
    expected = distribution_of(prior).log_prob(z.double().movedim(1, 0)).movedim(0, 1)
    torch.testing.assert_close(prior.log_density(z), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["diagonal", "full", "low-rank:2"])
def test_closed_divergences_are_torchs_and_agree_with_monte_carlo(kind):
    prior, generator = prior_of(kind), torch.Generator().manual_seed(0)
    loc, scale = torch.randn(2, 3, L, generator=generator), torch.rand(2, 3, L, generator=generator) + 0.3
    q = Normal(loc, scale)
    closed = prior.divergence(q).sum(-1).double()
    for b, g in itertools.product(range(2), range(3)):
        own = torch.distributions.MultivariateNormal(loc[b, g].double(), scale_tril=scale[b, g].double().diag())
        p = distribution_of(prior_of(kind)).expand((2,))
        row = torch.distributions.MultivariateNormal(p.mean[b], covariance_matrix=_covariance(p)[b])
        torch.testing.assert_close(closed[b, g], kl_divergence(own, row), rtol=1e-5, atol=1e-5)
    _agrees_with_monte_carlo(prior, q, closed)


def _covariance(p):
    return torch.diag_embed(p.variance) if not hasattr(p, "covariance_matrix") else p.covariance_matrix


def _agrees_with_monte_carlo(prior, q, closed):
    torch.manual_seed(0)
    z = q.sample((N,))  # (N, B, G, L)
    log_q = q.log_prob(z).sum(-1).double()
    log_p = torch.stack([prior.log_density(part.movedim(0, 1)) for part in z.unbind(2)], -1).movedim(1, 0)
    ratio = log_q - log_p
    assert ((ratio.mean(0) - closed).abs() < 5 * ratio.std(0) / N**0.5).all()


@pytest.mark.parametrize("kind", ["mixture:3", "flow:4"])
def test_estimated_divergences_have_the_right_mean(kind):
    """Of a component against the mixture it is in, and of the base against the flow: by a grid of many samples."""
    model, images = model_of(kind), images_of(1)
    labels = (images > 0.5).long()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        each = torch.stack(
            [model.elbo(images, labels, noise=torch.randn(1, 1, 200, L, generator=generator)).kl for _ in range(30)]
        )
        q, p = model.posterior_of(images, labels[:, 0]), distribution_of(model.prior_for(images))
        torch.manual_seed(1)
        z = q.sample((N,))
        expected = (q.log_prob(z) - p.log_prob(z.double())).mean()
    assert each.shape[1:] == (1, 1, 1)
    assert (each.mean() - expected).abs() < 5 * each.std() / 30**0.5 + 0.02


def test_a_weight_that_underflows_leaves_gradients_finite():
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    parts = tuple(AxisAligned(torch.full((1, 2), mean), torch.ones(1, 2)) for mean in (0.0, 1.0))
    weights = logits.softmax(1)
    assert weights[0, 1] == 0
    z = torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(0))
    found = Mixture(weights, parts).log_density(z)
    torch.testing.assert_close(found, parts[0].log_density(z))
    found.sum().backward()
    assert torch.isfinite(logits.grad).all()


@EVERY
def test_a_latent_is_a_function_of_seed_id_and_number_to_the_last_bit(kind):
    prior = prior_of(kind)
    z = drawn(prior, 100)
    assert torch.equal(drawn(prior, 7), z[:, :7])
    assert torch.equal(drawn(prior, 29, first=11), z[:, 11:40])
    assert torch.equal(torch.cat([prior.draw(part) for part in Noise(7, IDS, 0, 100).parts(9)], 1), z)
    assert not torch.equal(drawn(prior, 100, seed=8), z)
    for sampler in prior.samplers:
        z = drawn(prior, 64, sampler=sampler)
        assert torch.equal(drawn(prior, 13, first=8, sampler=sampler), z[:, 8:21])


@EVERY
def test_hypotheses_are_the_same_in_batches_chunks_and_backends(kind):
    model, images = model_of(kind), images_of(3)
    ids = torch.tensor([9, 1, 2**50])
    sampler = Sampler(model)
    whole = sampler.sample(images, 40, seed=5, ids=ids, output="logits")
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(sampler.sample(images, 40, seed=5, ids=ids, output="logits", chunk=7), whole, **close)
    alone = sampler.sample(images[2:], 12, seed=5, ids=ids[2:], output="logits")
    torch.testing.assert_close(alone, whole[2:, :12], **close)
    reference = sample(model, images, 40, seed=5, ids=ids, output="logits", backend="reference")
    torch.testing.assert_close(reference, whole, **close)
    bits = sampler.sample(images, 40, seed=5, ids=ids, output="bits").unpack()
    assert torch.equal(bits, (whole[:, :, 0] > 0).byte())
    maps = summarize(model, images, 40, seed=5, ids=ids)
    torch.testing.assert_close(maps.mean, whole.sigmoid().mean(1), **close)


@EVERY
def test_graphs_capture_every_prior_and_draw_the_same(kind, captures):
    """By a stand-in for CUDA graphs, in which nothing may wait for the device."""
    model = model_of(kind, channels=(4, 6))
    check_sampler(Sampler(model, precision="ieee"), "cpu")
    assert len(captures) == 3  # one for each output


@pytest.mark.parametrize("kind", ["mixture:3", "raters:ann,bob,cem"])
def test_sobol_points_give_each_component_its_share(kind):
    model = model_of(kind)
    with torch.no_grad():
        prior = model.prior_for(images_of(2))
    assert isinstance(prior, Mixture)
    n = 256
    chance = torch.special.ndtr(Noise(3, IDS, 0, n, sampler="sobol").normals(prior.normals)[..., 0].double())
    upper = prior.weights.double().cumsum(1)
    counts = torch.stack([(chance <= edge[:, None]).sum(1) for edge in upper.T], 1)
    assert (counts - n * upper).abs().max() <= 1
    few, many = (
        summarize(model, images_of(2), m, seed=1, sampler=sampler).mean
        for m, sampler in ((n, "sobol"), (20000, "random"))
    )
    assert (few - many).abs().mean() < 0.01


@pytest.mark.parametrize("kind", BENT)
def test_the_published_prior_takes_the_others_place_in_no_file(kind):
    assert model_of(kind).config["prior"] == kind
    assert "prior" not in model_of("diagonal").config


@EVERY
def test_annotations_are_assessed_under_every_prior(kind):
    model, image = model_of(kind), images_of(1)[0]
    masks = torch.stack([(image[0] > cut).long() for cut in (0.3, 0.6)])
    found = assess(model, image, masks, n=200, laplace=False)
    with torch.no_grad():
        prior = model.prior_for(image[None])
        q = model.posterior_of(image.expand(2, 1, 16, 16), masks)
    assert torch.isfinite(found.log_evidence).all()
    assert ((found.plausibility >= 0) & (found.plausibility <= 1)).all()
    closed = prior.divergence(Normal(q.mean[None], q.stddev[None]))
    if closed is None:
        assert found.kl is None
        assert found.missing["kl"] == f"The divergence from the prior, {prior.described}, has no closed form."
    else:
        torch.testing.assert_close(found.kl, closed[0].sum(1).double(), rtol=1e-4, atol=1e-4)


def test_a_plane_of_the_latent_space_needs_independent_dimensions():
    with pytest.raises(
        TypeError, match="^model: got ProbabilisticUNet, expected a Probabilistic U-Net whose prior is a G"
    ):
        decode_grid(model_of("full"), images_of(1)[0])
    own = of_rater(model_of("raters:ann,bob,cem"), "bob")
    assert decode_grid(own, images_of(1)[0], size=3).hypotheses.shape == (3, 3, 16, 16)
