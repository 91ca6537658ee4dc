"""Priors of every family: drawn with the right distribution, each latent a function of (seed, id, k) alone."""

import pytest
import torch
from helpers.peers import L, Peer, Prior
from torch import distributions as D

import fastpunet
from fastpunet.latents import Noise
from fastpunet.models.adapters.prior_forms import closed_form, find_distribution
from fastpunet.models.priors import AxisAligned
from fastpunet.models.sampled_prior import PrivateRandomness, Sampled

N = 40_000
TRIL = torch.tensor([[1.0, 0, 0], [1.9, 0.5, 0], [0, -0.3, 0.2]])  # correlation 0.97 of the first two
FACTOR = torch.tensor([[1.0, 0.5], [0, 2], [-1, 0]])


def _mean():
    return torch.tensor([[0.0, 1, 2], [-5, 0, 5]])


def _mixture(component):
    weights = D.Categorical(torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    return D.MixtureSameFamily(weights, component(torch.stack((_mean(), _mean() + 10), 1)))


FAMILIES = {
    "axis-aligned": lambda: D.Independent(D.Normal(_mean(), torch.tensor([0.1, 1, 3]).expand(2, 3)), 1),
    "full covariance": lambda: D.MultivariateNormal(_mean(), scale_tril=TRIL),
    "low rank": lambda: D.LowRankMultivariateNormal(_mean(), FACTOR.expand(2, 3, 2), torch.tensor([[0.1, 1, 2]] * 2)),
    "mixture": lambda: _mixture(lambda mu: D.Independent(D.Normal(mu, 0.5 * torch.ones_like(mu)), 1)),
    "mixture of full covariances": lambda: _mixture(lambda mu: D.MultivariateNormal(mu, scale_tril=TRIL)),
    "mixture of low ranks": lambda: _mixture(
        lambda mu: D.LowRankMultivariateNormal(mu, FACTOR.expand(2, 2, 3, 2), torch.ones(2, 2, 3))
    ),
}


def _latents(prior, seed=7, ids=(4, 9), first=0, n=N):
    noise = Noise(seed, torch.tensor(ids), first, n)
    if isinstance(prior, AxisAligned):
        return prior.of_normals(noise.normals(prior.latent_dim))
    return prior.latents(noise)


@pytest.mark.parametrize("family", FAMILIES)
def test_moments_are_those_of_the_distribution(family):
    distribution = FAMILIES[family]()
    z = _latents(closed_form(distribution, 2)).double()
    sd = distribution.variance.double().sqrt()
    assert ((z.mean(1) - distribution.mean).abs() / sd < 6 / N**0.5).all()
    torch.testing.assert_close(z.var(1), distribution.variance.double(), rtol=0.05, atol=0)
    if hasattr(distribution, "covariance_matrix"):
        for b in range(2):
            expected = distribution.covariance_matrix[b].double()
            scale = (sd[b][:, None] * sd[b]).clamp(min=1e-9)
            assert ((torch.cov(z[b].T) - expected) / scale).abs().max() < 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_density_ranks_agree(family):
    """The log density of our latents has the distribution that its own samples have."""
    distribution = FAMILIES[family]()
    ours = distribution.log_prob(_latents(closed_form(distribution, 2)).movedim(1, 0))
    torch.manual_seed(0)
    own = distribution.log_prob(distribution.sample((N,)))
    for share in (0.05, 0.5, 0.95):
        assert ((ours < own.quantile(share, 0)).float().mean(0) - share).abs().max() < 0.015


@pytest.mark.parametrize("family", [*FAMILIES, "laplace"])
def test_a_latent_is_a_function_of_seed_id_and_k_alone(family):
    def prior(rows):
        if family == "laplace":
            return Sampled([D.Laplace(_mean()[row], 1.0) for row in rows], 3)
        whole = closed_form(FAMILIES[family](), 2)
        return whole if list(rows) == [0, 1] else _select(whole, rows)

    z = _latents(prior([0, 1]), n=30)
    assert torch.equal(_latents(prior([0, 1]), n=5), z[:, :5])
    assert torch.equal(_latents(prior([0, 1]), first=11, n=7), z[:, 11:18])
    assert torch.equal(_latents(prior([1]), ids=(9,), n=30), z[1:])
    assert not torch.equal(_latents(prior([0, 1]), seed=8, n=30), z)


def _select(prior, rows):
    values = {name: value[rows] for name, value in vars(prior).items() if isinstance(value, torch.Tensor)}
    if hasattr(prior, "components"):
        values["components"] = tuple(_select(component, rows) for component in prior.components)
    return type(prior)(**values)


def test_a_family_that_is_not_known_draws_for_itself():
    distribution = D.Gamma(torch.tensor([1.0, 2, 8]), 2.0)
    before = torch.get_rng_state()
    z = _latents(Sampled([distribution], 3), ids=(3,), n=1500)[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert (z > 0).all()
    torch.testing.assert_close(z.mean(0), distribution.mean, rtol=0.15, atol=0)


def test_two_images_of_an_unknown_family_are_independent_and_batches_change_nothing():
    torch.manual_seed(0)
    model = Peer(prior=Prior(lambda m, s: D.Laplace(m, s.exp())))
    images = torch.rand(1, 1, 8, 8).expand(3, -1, -1, -1)
    z = fastpunet.Sampler(model).encode(images).prior.latents(Noise(1, torch.tensor([0, 1, 2]), 0, 4))
    assert not torch.equal(z[0], z[1])
    logits = fastpunet.sample(model, images, 6, seed=1, output="logits")
    alone = fastpunet.sample(model, images[1:2], 4, seed=1, ids=torch.tensor([1]), output="logits")
    torch.testing.assert_close(logits[1:2, :4], alone)


class _NumPy:
    """Draws by another library."""

    def sample(self):
        import numpy as np

        return torch.from_numpy(np.random.default_rng().normal(size=(1, 3)))


def test_a_prior_that_cannot_be_repeated_is_refused():
    with pytest.raises(
        TypeError, match="^model: its prior, a _NumPy, draws from a source of random numbers other than"
    ):
        _latents(Sampled([_NumPy()], 3), ids=(0,), n=2)


def test_a_subclass_that_draws_in_its_own_way_draws_for_itself():
    class Truncated(D.Normal):
        def sample(self, shape=()):
            return super().sample(shape).clamp(-0.1, 0.1)

    assert closed_form(Truncated(torch.zeros(1, 3), 1.0), 1) is None
    model = Peer(prior=Prior(lambda m, s: Truncated(0 * m, s.exp())))
    z = fastpunet.Sampler(model).encode(torch.rand(1, 1, 8, 8)).prior.latents(Noise(1, torch.tensor([0]), 0, 50))
    assert z.abs().max() <= 0.1


def test_a_distribution_whose_sample_has_been_replaced_draws_for_itself():
    def make(mu, log_sigma):
        normal = D.Independent(D.Normal(mu, log_sigma.exp()), 1)
        normal.base_dist.rsample = lambda shape=(): mu.new_full((*shape, *mu.shape), 7.0)
        normal.sample = normal.rsample
        return normal

    sampler = fastpunet.Sampler(Peer(prior=Prior(make)))
    z = sampler.encode(torch.rand(1, 1, 8, 8)).prior.latents(Noise(1, torch.tensor([0]), 0, 2))
    assert torch.equal(z, torch.full_like(z, 7.0))


def test_every_operator_that_draws_is_private():
    draws = (
        lambda: torch.rand(3),
        lambda: torch.randn(3),
        lambda: torch.randint(5, (3,)),
        lambda: torch.randint(1, 5, (3,)),
        lambda: torch.randperm(4),
        lambda: torch.rand_like(torch.ones(2)),
        lambda: torch.normal(0.0, 1.0, (3,)),
        lambda: torch.multinomial(torch.ones(3), 2),
        lambda: torch.bernoulli(torch.full((9,), 0.5)),
        lambda: torch.ones(9).exponential_(),
    )
    before = torch.get_rng_state()
    for draw in draws:
        values = []
        for key in ((1, 2), (1, 2)):
            with PrivateRandomness(*key) as private:
                values.append(draw())
            assert private.used
        assert torch.equal(*values)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "returned",
    [
        {"loc": torch.zeros(1, L), "scale": 2 * torch.ones(1, L)},
        {"prior_mu": torch.zeros(1, L), "prior_log_var": torch.full((1, L), 4.0).log()},
        {"mean": torch.zeros(1, L), "log_sigma": torch.full((1, L), 2.0).log()},
        {"mu": torch.zeros(1, L), "var": torch.full((1, L), 4.0)},
        {"dist": D.Normal(torch.zeros(L), 2.0), "features": torch.ones(1, 3)},
        (torch.ones(3), [1], D.Normal(torch.zeros(1, L), 2.0)),
    ],
)
def test_what_prior_nets_return_is_understood(returned):
    prior = closed_form(find_distribution(returned), 1)
    torch.testing.assert_close(prior.mu, torch.zeros(1, L))
    torch.testing.assert_close(prior.sigma, torch.full((1, L), 2.0))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ((torch.zeros(1, L), torch.ones(1, L)), r"\(a tensor \(1, 3\), a tensor \(1, 3\)\), from which"),
        ((D.Normal(0.0, 1.0), D.Normal(0.0, 1.0)), r"\(a Normal, a Normal\), from which"),
        ({"mu": torch.zeros(1, L), "spread": torch.ones(1, L)}, "expected a distribution, or one mean"),
        ({"mu": torch.zeros(1, L), "sigma": torch.ones(1, L), "log_var": torch.ones(1, L)}, "or one mean"),
        (torch.zeros(1, L), r"a tensor \(1, 3\), from which"),
        (None, "a NoneType, from which"),
    ],
)
def test_what_cannot_be_told_is_named(returned, message):
    with pytest.raises(TypeError, match=f"^model: its prior gives .*{message}.*fastpunet.adapt"):
        find_distribution(returned)
