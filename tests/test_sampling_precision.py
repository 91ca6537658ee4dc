"""sample and Sampler: precision, dtypes, compiled models."""

import pytest
import torch

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, Sampler, load, sample
from fastpunet.data.lesions import SyntheticLesions


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ProbabilisticUNet(1, 1, channels=(8, 12, 16), latent_dim=3).eval()


@pytest.fixture
def images():
    return torch.rand(3, 1, 21, 18, generator=torch.Generator().manual_seed(2))


def test_bf16_stays_close_and_autocast_turns_it_on(model, images):
    exact = sample(model, images, 8, seed=1, output="logits")
    bf16 = sample(model, images, 8, seed=1, output="logits", precision="bf16")
    assert 0 < (bf16 - exact).norm() / exact.norm() < 0.05
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sample(model, images, 8, seed=1, output="logits"), bf16)
        assert torch.equal(sample(model, images, 8, seed=1, output="logits", precision="ieee"), exact)


def test_float64_and_half_images_are_converted(model, images):
    exact = sample(model, images, 2, seed=1, output="logits")
    torch.testing.assert_close(sample(model, images.double(), 2, seed=1, output="logits"), exact)
    assert sample(model, images.half(), 2, seed=1, output="logits").dtype == torch.float32


def test_a_compiled_model_gives_the_same_hypotheses(model, images):
    expected = sample(model, images, 3, seed=1, output="logits")
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(sample(compiled, images, 3, seed=1, output="logits"), expected)
    port = PortModel(1, 1, (8, 12), 3).eval()
    expected = sample(port, images, 3, seed=1, output="logits")
    port.unet = torch.compile(port.unet, backend="eager")
    torch.testing.assert_close(sample(port, images, 3, seed=1, output="logits"), expected)


def test_ieee_means_ieee_whatever_the_process_allows(model, images):
    expected = sample(model, images, 3, seed=1, output="logits", precision="ieee")
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        allowed = torch.backends.mkldnn.matmul.fp32_precision
        assert torch.equal(sample(model, images, 3, seed=1, output="logits", precision="ieee"), expected)
        assert torch.backends.mkldnn.matmul.fp32_precision == allowed
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_sampler_follows_its_model_to_another_device_and_dtype(images):
    model = ProbabilisticUNet(1, 1, channels=(8, 12), latent_dim=3)
    sampler = Sampler(model)
    model.to(torch.bfloat16)
    assert sampler.encode(images).features.dtype == torch.float32
    model.to("meta")
    with pytest.raises(ValueError, match="images: got device cpu, expected meta as the model"):
        sampler.encode(images)


@pytest.mark.parametrize("name", ["lesions", "lidc-tiny"])
def test_bf16_decides_almost_every_pixel_as_float32_does(name):
    model = load(name)
    images = torch.stack([torch.from_numpy(case.image) for case in SyntheticLesions(8, seed=1)])
    labels = {p: sample(model, images, 100, seed=0, precision=p) for p in ("ieee", "bf16")}
    assert 0.01 < labels["ieee"].float().mean() < 0.5
    assert (labels["ieee"] != labels["bf16"]).float().mean() <= 0.003


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["ieee", "bf16"])
def test_a_tuned_encoder_changes_rounding_only_and_follows_the_weights(precision):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, channels=(8, 12), latent_dim=2, convs_per_block=1)
    sampler, image = Sampler(model, precision=precision), torch.rand(1, 1, 40, 24)
    plain = sampler.encode(image)
    seconds = sampler.tune(image)
    assert set(seconds) == {"compilation", "eager", "compiled"}
    assert all(value > 0 for value in seconds.values())
    sampler._passes._compiled.add((image.shape, sampler.precision))  # whichever proved faster here
    tolerance = {"ieee": 1e-5, "bf16": 0.05}[precision]
    torch.testing.assert_close(sampler.encode(image).features, plain.features, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(sampler.encode(image).prior.mu, plain.prior.mu, rtol=tolerance, atol=tolerance)
    model.unet.contracting_path[0].layers[0].weight.data.mul_(3)
    changed = Sampler(model, precision=precision).encode(image)
    torch.testing.assert_close(sampler.encode(image).features, changed.features, rtol=tolerance, atol=tolerance)
    assert (changed.features - plain.features).abs().max() > 0.1


def _fails(*_):
    raise OSError("no compiler")


def test_a_model_that_cannot_be_compiled_is_an_error_that_says_what_to_do(monkeypatch):
    sampler = Sampler(ProbabilisticUNet(1, 1, channels=(4,), latent_dim=2))
    monkeypatch.setattr("fastpunet.passes._compiled", lambda: _fails)
    with pytest.raises(
        RuntimeError, match="tune: PyTorch could not compile the encoder: no compiler\n.*C\\+\\+ compiler"
    ):
        sampler.tune(torch.rand(1, 1, 8, 8))
    assert sampler.encode(torch.rand(1, 1, 8, 8)).features.shape == (1, 4, 8, 8)
