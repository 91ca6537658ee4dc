"""Hypotheses from Sobol points and antithetic pairs: recipes as exact as plain noise, refused if z is not Gaussian."""

from functools import partial

import pytest
import torch
from test_seam import port_with_a_mixture_prior
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, Sampler, adapt, sample, summarize
from fastpunet.latents import Noise
from fastpunet.models import DropoutUNet, Image2ImageVAE, MHeads, UNetEnsemble

IDS = torch.tensor([5, 2**40, 3, -1])
SMALL = {"channels": (4, 6), "convs_per_block": 1}
STRUCTURED = pytest.mark.parametrize("sampler", ["sobol", "antithetic"])


@pytest.mark.parametrize("sampler", ["random", "sobol", "antithetic"])
def test_noise_is_counted(sampler):
    noise = Noise(3, IDS, 0, 101, sampler=sampler)
    whole = noise.normals(5, layer=2)
    for chunk in (1, 7, 64):
        assert torch.equal(torch.cat([part.normals(5, layer=2) for part in noise.parts(chunk)], 1), whole)
    assert torch.equal(Noise(3, IDS[2:3], 64, 3, sampler=sampler).normals(5, layer=2)[0], whole[2, 64:67])
    others = [Noise(4, IDS, 0, 101, sampler=sampler), Noise(3, IDS + 1, 0, 101, sampler=sampler), noise]
    assert all(not torch.isclose(other.normals(5), whole).any((0, 1)).all() for other in others)


def test_antithetic_pairs_are_reflected_and_their_first_ones_plain():
    pairs = Noise(3, IDS, 0, 10, sampler="antithetic").normals(5)
    assert torch.equal(pairs[:, ::2], Noise(3, IDS, 0, 5).normals(5))
    assert torch.equal(pairs[:, 1::2], -pairs[:, ::2])
    mu, sigma = torch.rand(4, 5), torch.rand(4, 5)
    z = Noise(3, IDS, 0, 10, sampler="antithetic").gaussian(mu, sigma)
    torch.testing.assert_close(z[:, ::2] + z[:, 1::2], 2 * mu[:, None].expand(-1, 5, -1))


def by_hand(make_prior):
    torch.manual_seed(0)
    port = PortModel(2, 3, (4, 6), 3)
    return adapt(port, encode=lambda x: (port.unet(x, False), make_prior(port.prior(x).mean)), combiner=port.fcomb)


def full_covariance(mean):
    return MultivariateNormal(mean, scale_tril=torch.tensor([[1.0, 0, 0], [0.9, 0.4, 0], [0.2, 0.1, 2.0]]))


def low_rank(mean):
    factor = torch.tensor([[1.0], [0.5], [0.2]]).expand(len(mean), -1, -1)
    return LowRankMultivariateNormal(mean, factor, torch.ones_like(mean) / 10)


class AddedCombiner(torch.nn.Module):
    """No 1x1 convolutions with ReLUs between them, so that its own forward pass decodes."""

    def __init__(self):
        super().__init__()
        self.of_features, self.of_z = torch.nn.Conv2d(4, 3, 3, padding=1), torch.nn.Linear(3, 3)

    def forward(self, features, z):
        return self.of_features(features) * self.of_z(z)[:, :, None, None].exp()


def own_combiner():
    torch.manual_seed(0)
    port = PortModel(2, 3, (4, 6), 3)
    port.fcomb = AddedCombiner()
    return port


GAUSSIAN = {
    "Probabilistic U-Net": lambda: ProbabilisticUNet(2, 3, latent_dim=3, **SMALL),
    "Probabilistic U-Net of volumes": lambda: ProbabilisticUNet(2, 1, latent_dim=3, dims=3, **SMALL),
    "Image2Image VAE": lambda: Image2ImageVAE(2, 1, latent_dim=3, **SMALL),
    "live model": lambda: PortModel(2, 1, (4, 6), 3),
    "full covariance": partial(by_hand, full_covariance),
    "low rank": partial(by_hand, low_rank),
    "own combiner": own_combiner,
}


@STRUCTURED
@pytest.mark.parametrize("name", GAUSSIAN)
@pytest.mark.filterwarnings("ignore:the model's combiner")
def test_hypotheses_depend_on_seed_id_and_number_alone(name, sampler):
    torch.manual_seed(0)
    model = GAUSSIAN[name]()
    size = (4, 6, 5) if getattr(model, "dims", 2) == 3 else (12, 10)
    images, ids = torch.rand(3, 2, *size), IDS[:3]
    drawing = Sampler(model, sampler=sampler)
    whole = drawing.sample(images, 21, seed=7, ids=ids, output="logits")
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
    close(sample(model, images, 5, seed=7, ids=ids, output="logits", sampler=sampler), whole[:, :5])
    close(drawing.sample(images, 21, seed=7, ids=ids, output="logits", chunk=4), whole)
    close(drawing.sample(images[2:], 21, seed=7, ids=ids[2:], output="logits"), whole[2:])
    encoding = drawing.encode(images)
    close(drawing.draw(encoding, 21, seed=7, ids=ids, output="logits"), whole)
    streamed = torch.cat(list(drawing.stream(encoding, 21, seed=7, ids=ids, output="logits", chunk=8)), 1)
    close(streamed, whole)
    batches = [(images[1:], ids[1:]), (images[:1], ids[:1])]
    later, first = drawing.sample_batches(batches, 21, seed=7, output="logits")
    close(torch.cat((first, later)), whole)
    maps = summarize(model, images, 21, seed=7, ids=ids, sampler=sampler, chunk=8)
    probs = whole.sigmoid() if whole.shape[2] == 1 else whole.softmax(2)
    close(maps.mean, probs.mean(1))
    assert not torch.allclose(whole, Sampler(model).sample(images, 21, seed=7, ids=ids, output="logits"))


@STRUCTURED
def test_latents_of_a_full_covariance_have_it(sampler):
    model = by_hand(full_covariance)
    drawing = Sampler(model, sampler=sampler)
    encoding = drawing.encode(torch.zeros(1, 2, 8, 8))
    z = model.latents(encoding, Noise(0, torch.tensor([0]), 0, 4096, sampler=sampler))[0].double()
    tril = full_covariance(torch.zeros(1, 3)).scale_tril[0].double()
    torch.testing.assert_close((z - z.mean(0)).T @ (z - z.mean(0)) / 4096, tril @ tril.T, atol=0.15, rtol=0.05)
    torch.testing.assert_close(z.mean(0).float(), encoding.prior.mu[0], atol=5e-3, rtol=0)


@STRUCTURED
@pytest.mark.parametrize("name", ["Probabilistic U-Net", "Image2Image VAE", "full covariance"])
def test_replayed_graphs_are_given_the_points(name, sampler, captures):
    torch.manual_seed(0)
    drawing = Sampler(GAUSSIAN[name](), precision="ieee", sampler=sampler)
    for seed in range(4):
        images, noise = torch.rand(2, 2, 8, 8), Noise(seed, IDS[:2], 0, 5, sampler=sampler)
        flat = drawing._replays.draw(drawing.method, drawing._passes, images, noise, "logits", "ieee").hypotheses
        plain = drawing.sample(images, 5, seed=seed, ids=IDS[:2], output="logits")
        torch.testing.assert_close(flat.unflatten(-1, (8, 8)), plain)
    assert len(captures) == 1


REFUSED = {
    "DropoutUNet": lambda: DropoutUNet(2, 1, **SMALL),
    "UNetEnsemble": lambda: UNetEnsemble(2, 1, members=3, **SMALL),
    "MHeads": lambda: MHeads(2, 1, heads=3, **SMALL),
}


@STRUCTURED
@pytest.mark.parametrize("name", REFUSED)
def test_methods_without_a_gaussian_latent_are_refused_by_name(name, sampler):
    reason = f"hypotheses of {name} are not drawn from a Gaussian latent"
    message = f"^sampler: got '{sampler}', expected random, because {reason}$"
    with pytest.raises(ValueError, match=message):
        sample(REFUSED[name](), torch.zeros(1, 2, 8, 8), 2, sampler=sampler)
    with pytest.raises(ValueError, match=message):
        summarize(REFUSED[name](), torch.zeros(1, 2, 8, 8), 2, sampler=sampler)


class Laplace:
    def __init__(self, mean):
        self.mean = mean

    def sample(self):
        return torch.distributions.Laplace(self.mean, 1.0).sample()


@pytest.mark.usefixtures("captures")
@pytest.mark.parametrize(
    ("make", "sampler", "why"),
    [
        (port_with_a_mixture_prior, "antithetic", "random or sobol: the prior of PortModel is a mixture"),
        (partial(by_hand, Laplace), "antithetic", "random: the prior of PortModel is known by its sample alone"),
        (partial(by_hand, Laplace), "sobol", "random: the prior of PortModel is known by its sample alone"),
    ],
)
def test_priors_that_a_sampler_cannot_take_are_refused(make, sampler, why):
    drawing = Sampler(make(), sampler=sampler)
    images = torch.zeros(1, 2, 8, 8)
    message = f"^sampler: got '{sampler}', expected {why}$"
    for call in (drawing.sample, partial(summarize, make(), sampler=sampler)):
        with pytest.raises(ValueError, match=message):
            call(images, 2)
    for _ in range(3):
        noise = Noise(0, IDS[:1], 0, 2, sampler=sampler)
        with pytest.raises(ValueError, match=message):
            drawing._replays.draw(drawing.method, drawing._passes, images, noise, "labels", "ieee")


def test_unknown_samplers_and_impossible_numbers_are_named():
    model = ProbabilisticUNet(2, 1, latent_dim=3, **SMALL)
    with pytest.raises(ValueError, match="^sampler: got 'halton', expected one of random, sobol, antithetic$"):
        Sampler(model, sampler="halton")
    with pytest.raises(ValueError, match="^n: got 1073741825, expected a whole number of at least 1 and at most 1073"):
        sample(model, torch.zeros(1, 2, 8, 8), 2**30 + 1, sampler="sobol")
