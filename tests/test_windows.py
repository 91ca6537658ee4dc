"""Windows: where they lie, and features equal to the model's where they must be, compared with MONAI and loops."""

import math

import pytest
import torch
from test_seam import MODELS
from torch import nn
from torch.distributions import MultivariateNormal

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, Sampler, adapt, sample, summarize, windowed
from fastpunet.models.priors import LowRank
from fastpunet.windows.grid import windows_over

SMALL = {"channels": (4, 6, 8), "convs_per_block": 1}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
SIZES = pytest.mark.parametrize(
    ("size", "window", "overlap"),
    [((40, 31), (16, 16), 0.5), ((17, 64), (16, 24), 0.25), ((33, 9), (16, 16), 0.75), ((9, 20, 14), (8, 8, 8), 0.5)],
)


def pictures(*size, images=2, channels=2):
    return torch.rand(images, channels, *size, generator=torch.Generator().manual_seed(1))


def build(name, **options):
    torch.manual_seed(0)
    return MODELS[name](**options).eval()


# Where windows lie


@SIZES
def test_windows_are_monais(size, window, overlap):
    from monai.data.utils import dense_patch_slices

    clipped = tuple(map(min, window, size))
    step = tuple(max(1, int(side * (1 - overlap))) for side in clipped)
    ours = [own.place[1:] for own in windows_over(size, window, overlap)]
    assert ours == dense_patch_slices(size, clipped, step)


@SIZES
def test_weights_are_a_partition_of_one_and_shares_of_the_image(size, window, overlap):
    total, shares = torch.zeros(size, dtype=torch.float64), 0.0
    for own in windows_over(size, window, overlap):
        assert own.weights.shape == total[own.place].shape == tuple(map(min, window, size))
        assert own.weights.min() > 0
        assert own.share == pytest.approx(own.weights.double().sum().item() / math.prod(size))
        total[own.place] += own.weights
        shares += own.share
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-6)
    assert shares == pytest.approx(1)


def test_weights_by_hand():
    """Windows of 4 on an axis of 6: sin^2 of 22.5 and 67.5 degrees; in the overlap both add up to 1 already."""
    low, high = math.sin(math.pi / 8) ** 2, math.cos(math.pi / 8) ** 2
    first, last = (own.weights.tolist() for own in windows_over((6,), (4,), 0.5))
    assert first == pytest.approx([1, 1, high, low])
    assert last == pytest.approx([low, high, 1, 1])


def test_a_window_counts_for_almost_nothing_at_its_edge_inside_the_image():
    *_, own = (own for own in windows_over((512, 512), (128, 128), 0.5) if own.place[1:] == (slice(128, 256),) * 2)
    assert own.weights[0].max() < 2e-4
    assert own.weights[64, 64] > 0.999


# Features


@SIZES
def test_features_are_those_of_monais_sliding_window(size, window, overlap):
    from monai.inferers import sliding_window_inference

    torch.manual_seed(0)
    model = ProbabilisticUNet(2, 1, latent_dim=3, dims=len(size), **SMALL).eval()
    images = pictures(*size)
    clipped = tuple(map(min, window, size))
    profile = torch.ones(())
    for side in clipped:
        profile = profile[..., None] * torch.sin(math.pi * (torch.arange(side) + 0.5) / side).square()
    with torch.no_grad():
        theirs = sliding_window_inference(images, clipped, 1, model.unet, overlap, roi_weight_map=profile)
    ours = Sampler(windowed(model, window, overlap)).encode(images).features
    torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.parametrize("name", MODELS)
def test_images_no_larger_than_a_window_give_what_the_model_gives(name):
    model = build(name)
    dims = getattr(model, "dims", 2)
    images = pictures(*(9, 12, 10)[-dims:])
    for output in ("logits", "labels"):
        ours, plain = (
            sample(some, images, 5, seed=1, output=output) for some in (windowed(model, (9, 12, 10)[-dims:]), model)
        )
        assert torch.equal(ours, plain)
    maps, expected = (summarize(some, images, 5, seed=1) for some in (windowed(model, 99), model))
    assert torch.equal(maps.mean, expected.mean)
    assert torch.equal(maps.volume, expected.volume)


class Pixelwise(nn.Module):
    """A Probabilistic U-Net in which features see one pixel, and the prior the mean over all pixels."""

    def __init__(self, prior):
        super().__init__()
        self.backbone, self.statistics = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 6, 1)
        self.mixer = nn.Sequential(nn.Conv2d(7, 5, 1), nn.ReLU(), nn.Conv2d(5, 1, 1))
        self.prior_of = prior

    def encode(self, images):
        return self.backbone(images), self.prior_of(*self.statistics(images).mean((2, 3)).chunk(2, 1))


class Mixer(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, features, z):
        tiled = z[:, :, None, None].expand(-1, -1, *features.shape[2:])
        return self.layers(torch.cat((features, tiled), 1))


def pixelwise(prior):
    torch.manual_seed(0)
    model = Pixelwise(prior)
    return adapt(model, encode=model.encode, combiner=Mixer(model.mixer))


def full_covariance(mu, raw):
    return MultivariateNormal(mu, scale_tril=torch.diag_embed(1 + 0 * mu) + torch.diag_embed(raw[:, :2], offset=-1))


@pytest.mark.parametrize("prior", [lambda mu, raw: (mu, raw.exp()), full_covariance])
@pytest.mark.parametrize("size", [(40, 31), (64, 64), (17, 90)])
def test_where_each_pixel_is_seen_alone_windows_equal_the_whole_image(prior, size):
    """Features do, and the prior's parameters are those of a mean in which pixels count as windows and shares say."""
    model, images = pixelwise(prior), pictures(*size)
    whole, parts = (Sampler(some).encode(images) for some in (model, windowed(model, 16)))
    torch.testing.assert_close(parts.features, whole.features, **CLOSE)
    counts = torch.zeros(size, dtype=torch.float64)
    for own in windows_over(size, (16, 16), 0.5):
        counts[own.place] += own.share / own.weights.numel()
    assert counts.sum() == pytest.approx(1)
    with torch.no_grad():
        mu, raw = (model.model.statistics(images).double() * counts).sum((2, 3)).float().chunk(2, 1)
    torch.testing.assert_close(parts.prior.mu, mu, **CLOSE)
    if prior is full_covariance:
        assert isinstance(parts.prior, LowRank)
        torch.testing.assert_close(parts.prior.factor, full_covariance(mu, raw).scale_tril, **CLOSE)
    else:
        torch.testing.assert_close(parts.prior.sigma, raw.exp(), **CLOSE)


def test_a_constant_image_has_the_prior_of_one_window():
    model, image = pixelwise(lambda mu, raw: (mu, raw.exp())), torch.full((1, 2, 40, 31), 0.3)
    parts, one = Sampler(windowed(model, 16)).encode(image), Sampler(model).encode(image[..., :16, :16])
    torch.testing.assert_close(parts.prior.mu, one.prior.mu, **CLOSE)
    torch.testing.assert_close(parts.prior.sigma, one.prior.sigma, **CLOSE)


def test_pixels_that_no_edge_of_a_window_reaches_equal_the_whole_image():
    """Two 3x3 convolutions see 2 pixels around."""
    torch.manual_seed(0)
    model, images = ProbabilisticUNet(2, 1, (6,), latent_dim=3, convs_per_block=2).eval(), pictures(40, 56)
    inside = torch.ones(40, 56, dtype=torch.bool)
    for own in windows_over((40, 56), (16, 16), 0.5):
        for axis, place in enumerate(own.place[1:]):
            for edge in (place.start, place.stop):
                if 0 < edge < inside.shape[axis]:
                    inside.narrow(axis, edge - 2, 4).fill_(False)
    whole, parts = (Sampler(some).encode(images).features for some in (model, windowed(model, 16)))
    assert inside.sum() > 400
    torch.testing.assert_close(parts[..., inside], whole[..., inside], **CLOSE)
    assert not torch.allclose(parts, whole, **CLOSE)


def test_one_latent_decodes_the_whole_image():
    model, images = build("Probabilistic U-Net"), pictures(40, 31)
    drawing = Sampler(windowed(model, 16))
    encoding = drawing.encode(images)
    z = torch.randn(2, 3, 3)
    with torch.no_grad():
        expected = torch.stack([model.fcomb(encoding.features, z[:, k]) for k in range(3)], 1)
    torch.testing.assert_close(drawing.decode(encoding, z, output="logits"), expected, **CLOSE)


def test_a_live_model_is_run_as_it_is_on_each_window():
    torch.manual_seed(0)
    port = PortModel(2, 1, (4, 6, 8), 3).eval()
    images = pictures(40, 31)
    features, mu, log_sigma = torch.zeros(2, 4, 40, 31), 0, 0
    with torch.no_grad():
        for own in windows_over((40, 31), (16, 12), 0.5):
            crop = images[own.place]
            features[own.place] += port.unet(crop, False) * own.weights
            mu = mu + own.share * port.prior(crop).mean
            log_sigma = log_sigma + own.share * port.prior(crop).stddev.log()
    encoding = Sampler(windowed(port, (16, 12))).encode(images)
    torch.testing.assert_close(encoding.features, features, **CLOSE)
    torch.testing.assert_close(encoding.prior.mu, mu, **CLOSE)
    torch.testing.assert_close(encoding.prior.sigma, log_sigma.exp(), **CLOSE)
