"""Windows of methods of all kinds: the same noise in each window, bounded memory, and errors that say what to do."""

import math

import numpy as np
import pytest
import torch
from test_seam import port_with_a_mixture_prior
from test_windows import CLOSE, SMALL, build, pictures
from torch import nn

import fastpunet
from fastpunet import ProbabilisticUNet, Sampler, sample, windowed
from fastpunet.latents import Noise
from fastpunet.models import SSN, DropoutUNet, Image2ImageVAE, MHeads, UNetEnsemble
from fastpunet.windows.grid import windows_over

OTHERS = {
    "Dropout U-Net": lambda: DropoutUNet(2, 3, **SMALL),
    "Dropout U-Net of volumes": lambda: DropoutUNet(2, 1, dims=3, **SMALL),
    "U-Net Ensemble": lambda: UNetEnsemble(2, 1, members=4, **SMALL),
    "M-Heads": lambda: MHeads(2, 3, heads=4, **SMALL),
    "Image2Image VAE": lambda: Image2ImageVAE(2, 1, latent_dim=3, **SMALL),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_methods_blend_logits_of_the_same_noise(name):
    torch.manual_seed(0)
    model = OTHERS[name]().eval()
    size, window = ((10, 12, 9), 8) if model.dims == 3 else ((40, 31), 16)
    images, ids = pictures(*size), torch.tensor([7, 2**40])
    expected = 0.0
    with torch.no_grad():
        for own in windows_over(size, (window,) * model.dims, 0.5):
            logits = model.logits(model.encode(images[own.place]), Noise(5, ids, 0, 4))
            whole = torch.zeros(*logits.shape[:3], *size)
            whole[own.place] = logits * own.weights
            expected = expected + whole
    ours = sample(windowed(model, window), images, 4, seed=5, ids=ids, output="logits")
    torch.testing.assert_close(ours, expected, **CLOSE)


@pytest.mark.parametrize("dims", [2, 3])
def test_an_ssn_blends_its_distribution(dims):
    torch.manual_seed(0)
    model = SSN(2, 2, rank=2, dims=dims, **SMALL).eval()
    images = pictures(*((9, 12, 10) if dims == 3 else (40, 31)))
    size, window = tuple(images.shape[2:]), (8,) * dims
    with torch.no_grad():
        expected = [torch.zeros(*lead, *size) for lead in ((2, 2), (2, 2, 2), (2, 2))]
        for own in windows_over(size, window, 0.5):
            for whole, part in zip(expected, model.distribution(images[own.place]), strict=True):
                whole[own.place] += part.unflatten(-1, own.weights.shape) * own.weights
    encoding = Sampler(windowed(model, 8)).encode(images)
    for found, whole in zip(encoding.normal, expected, strict=True):
        torch.testing.assert_close(found, whole.flatten(-dims), **CLOSE)
    at = images[..., :8, :8] if dims == 2 else images[..., :8, :8, :8]
    inside, plain = (sample(each, at, 3, seed=0, output="logits") for each in (windowed(model, 8), model))
    assert torch.equal(inside, plain)


def test_a_latent_of_the_vae_is_decoded_in_all_windows():
    torch.manual_seed(0)
    drawing, images = Sampler(windowed(Image2ImageVAE(2, 1, latent_dim=3, **SMALL), 16)), pictures(40, 31)
    encoding = drawing.encode(images)
    z = Noise(5, torch.arange(2), 0, 4).normals(3)
    for output in ("logits", "labels"):
        decoded = drawing.decode(encoding, z, output=output)
        torch.testing.assert_close(decoded, drawing.draw(encoding, 4, seed=5, output=output), **CLOSE)
    assert drawing.decode(drawing.encode(images[..., :16, :16]), z, output="bits").unpack().shape == (2, 4, 16, 16)
    heads = Sampler(windowed(MHeads(2, 1, heads=3, **SMALL), 16))
    with pytest.raises(TypeError, match="^model: MHeads has no latent"):
        heads.decode(heads.encode(images), z)


@pytest.mark.parametrize("name", ["Probabilistic U-Net", "Image2Image VAE", "Dropout U-Net", "M-Heads"])
def test_replayed_graphs_take_windows(name, captures):
    drawing = Sampler(windowed(build(name), 12), precision="ieee")
    for seed in range(4):
        images, noise = torch.rand(2, 2, 20, 16), Noise(seed, torch.arange(2), 0, 3)
        flat = drawing._replays.draw(drawing.method, drawing._passes, images, noise, "logits", "ieee").hypotheses
        plain = drawing.sample(images, 3, seed=seed, output="logits")
        torch.testing.assert_close(flat.unflatten(-1, (20, 16)), plain, **CLOSE)
    assert len(captures) == (name != "M-Heads")


@pytest.mark.parametrize("sampler", ["sobol", "antithetic"])
def test_windows_share_sobol_points_and_pairs(sampler):
    model, images = build("Probabilistic U-Net"), pictures(40, 31)
    ours = sample(windowed(model, 16), images, 6, seed=0, sampler=sampler, output="logits")
    encoding = Sampler(windowed(model, 16)).encode(images)
    z = encoding.prior.latents(Noise(0, torch.arange(2), 0, 6, sampler=sampler))
    torch.testing.assert_close(ours, Sampler(model).decode(encoding, z, output="logits"), **CLOSE)
    with pytest.raises(ValueError, match=f"^sampler: got '{sampler}', .* of MHeads are not drawn"):
        sample(windowed(MHeads(2, 1, heads=3, **SMALL), 16), images, 2, sampler=sampler)


def peak_of_encoding(model, images):
    """The largest sum of what was allocated and not yet freed, in bytes."""
    with torch.profiler.profile(profile_memory=True) as profile:
        Sampler(model).encode(images)
    total = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            total += event.nbytes()
            peak = max(peak, total)
    return peak


def test_memory_beyond_the_features_does_not_grow_with_the_number_of_windows(monkeypatch):
    """25 and 121 windows: images, their copy, blended features, and what the combiner's first layer makes of them."""
    torch.manual_seed(0)
    model = windowed(ProbabilisticUNet(2, 1, (8, 12), latent_dim=3, convs_per_block=1).eval(), 32)
    monkeypatch.setattr("fastpunet.memory._BUDGET_BYTES", {"cpu": 1 << 18})
    few, many = (peak_of_encoding(model, pictures(side, side, images=1)) for side in (96, 192))
    pixels = 192**2 - 96**2
    assert 4 * 8 * pixels < many - few < 2 * 4 * (8 + 2) * pixels


def test_features_that_do_not_fit_are_refused_after_the_first_window(monkeypatch):
    model = windowed(build("Probabilistic U-Net"), 16, by_slab=False)
    monkeypatch.setattr("fastpunet.memory.free_memory", lambda _: 100_000)
    message = (
        r"^images: got 2 of 40 x 50 pixels; their features \(4 channels\) and the output of the combiner's first layer "
        "take 0.0 GB, and 0.0 GB are free; sample fewer images at a time, or parts of an image$"
    )
    with pytest.raises(ValueError, match=message):
        Sampler(model).encode(pictures(40, 50))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "^size: got 0, expected a whole number of at least 1"),
        ((16.5,), TypeError, "^size: got 16.5, expected a whole number"),
        (("16",), TypeError, "^size: got '16', expected a whole number"),
        (((16, 16, 16),), ValueError, r"^size: got \(16, 16, 16\), expected one number or 2, for images of Prob"),
        (((16,),), ValueError, r"^size: got \(16,\), expected one number or 2"),
        ((16, 1), ValueError, "^overlap: got 1, expected a share of a window, at least 0 and below 1, such as 0.5$"),
        ((16, -0.1), ValueError, "^overlap: got -0.1"),
        ((16, math.nan), ValueError, "^overlap: got nan"),
        ((16, "half"), ValueError, "^overlap: got 'half'"),
    ],
)
def test_impossible_windows_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        windowed(build("Probabilistic U-Net"), *arguments)


def test_other_misuse_is_named(tmp_path):
    model = windowed(build("Probabilistic U-Net"), 16)
    with pytest.raises(ValueError, match="^model: it is windowed already; pass the model itself$"):
        windowed(model, 8)
    with pytest.raises(
        TypeError, match="^model: got WindowedFeatures, expected .*; save the model inside a windowed one"
    ):
        fastpunet.save(model, tmp_path / "model.safetensors")
    with pytest.raises(
        TypeError, match="^model: a windowed model cannot be trained; train the ProbabilisticUNet inside it$"
    ):
        model.loss_terms(pictures(8, 8), None, seed=0, ids=torch.arange(2))
    with pytest.raises(TypeError, match="^model: got Linear"):
        windowed(nn.Linear(1, 1), 16)
    with pytest.raises(ValueError, match="^model: its prior is not one Gaussian"):
        sample(windowed(port_with_a_mixture_prior(), 16), pictures(40, 31), 2)


def test_sizes_from_numpy_and_a_side_longer_than_the_window_alone():
    model, images = build("Probabilistic U-Net"), pictures(9, 70)
    ours = sample(windowed(model, np.int64(16)), images, 3, seed=0, output="logits")
    assert torch.equal(ours, sample(windowed(model, [16, 16]), images, 3, seed=0, output="logits"))
    assert ours.shape == (2, 3, 3, 9, 70)


@pytest.mark.slow
def test_tuning_compiles_windows_and_changes_nothing():
    torch.manual_seed(0)
    drawing = Sampler(windowed(ProbabilisticUNet(1, 1, (4, 6), latent_dim=3, convs_per_block=1), 16))
    images = pictures(24, 16, images=1, channels=1)  # two windows; each is compiled anew
    before = drawing.sample(images, 4, seed=0, output="logits")
    assert set(drawing.tune(images, 4)) == {"compilation", "eager", "compiled"}
    drawing._passes._compiled.add((images.shape, drawing.precision))
    torch.testing.assert_close(drawing.sample(images, 4, seed=0, output="logits"), before, **CLOSE)
