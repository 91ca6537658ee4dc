"""sample and Sampler: equal to the model's own f_comb, reproducible, honest about bad input."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from benchmarks.port import PortModel
from fastpunet import PackedMasks, ProbabilisticUNet, Sampler, sample
from fastpunet.latents import draw_latents
from fastpunet.models.method import PIXEL_BYTES


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ProbabilisticUNet(1, 1, channels=(8, 12, 16), latent_dim=3).eval()


@pytest.fixture(scope="module")
def multi():
    torch.manual_seed(1)
    return ProbabilisticUNet(2, 4, channels=(8, 12), latent_dim=3).eval()


@pytest.fixture
def images():
    return torch.rand(3, 1, 21, 18, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("size", [(64, 64), (65, 71), (101, 64), (180, 180)])
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 1), (1, 24), (3, 24)])
def test_equals_the_ports_own_fcomb_on_the_same_latents(size, channels, classes):
    """Relative error against float64 at most twice that of the model's own float32 f_comb."""
    torch.manual_seed(3)
    port = PortModel(channels, classes, (16, 20, 24, 28), latent_dim=6).eval()
    sampler = Sampler(port)
    encoding = sampler.encode(torch.rand(1, channels, *size))
    z = draw_latents(encoding.prior.mu, encoding.prior.sigma, 3, seed=4)
    ours = sampler.draw(encoding, 3, seed=4, output="logits")
    assert ours.shape == (1, 3, classes, *size)
    with torch.no_grad():
        single = torch.stack([port.fcomb(encoding.features, z[:, k]) for k in range(3)], dim=1)
        port.double()
        exact = torch.stack([port.fcomb(encoding.features.double(), z[:, k].double()) for k in range(3)], dim=1)
    error, port_error = ((logits.double() - exact).norm() / exact.norm() for logits in (ours, single))
    assert error <= 2 * port_error
    assert error < 1e-6


def test_features_of_a_foreign_model_are_its_own_where_it_takes_the_size():
    torch.manual_seed(0)
    port = PortModel(1, 1, (8, 12, 16), 3).eval()
    image = torch.rand(2, 1, 32, 24)
    port(image, None, training=False)
    features, prior = port.unet_features, port.prior_latent_space
    encoding = Sampler(port).encode(image)
    torch.testing.assert_close(encoding.features, features)
    torch.testing.assert_close(encoding.prior.mu, prior.mean)
    torch.testing.assert_close(encoding.prior.sigma, prior.stddev)


def test_odd_sizes_of_a_foreign_model_are_padded_by_the_edge_and_cropped():
    torch.manual_seed(0)
    port = PortModel(1, 1, (8, 12, 16), 3).eval()
    image = torch.rand(1, 1, 29, 30)
    padded = torch.cat((image, image[:, :, -1:].expand(-1, -1, 3, -1)), 2)
    padded = torch.cat((padded, padded[..., -1:].expand(-1, -1, -1, 2)), 3)
    encoding = Sampler(port).encode(image)
    torch.testing.assert_close(encoding.features, port.unet(padded, False)[..., :29, :30])
    torch.testing.assert_close(encoding.prior.mu, port.prior(image).mean)


def test_a_foreign_model_is_left_as_it_was(images):
    port = PortModel(1, 1, (8, 12), 3).train()
    port.unet.eval()
    before = {name: dict(vars(module)) for name, module in port.named_modules()}
    sample(port, images, 2, seed=0)
    for name, module in port.named_modules():
        assert vars(module).keys() == before[name].keys()
        assert all(vars(module)[key] is value for key, value in before[name].items())


def test_it_is_left_as_it_was_also_after_an_error(images):
    port = PortModel(1, 1, (8, 12), 3).train()
    port.prior.forward = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        sample(port, images, 2, seed=0)
    assert all(module.training for module in port.modules())


def test_outputs_agree_with_each_other(multi):
    images = torch.rand(2, 2, 9, 13)
    logits, probs, labels, bits = (
        sample(multi, images, 6, seed=5, output=o) for o in ("logits", "probs", "labels", "bits")
    )
    assert logits.shape == probs.shape == (2, 6, 4, 9, 13)
    torch.testing.assert_close(probs, logits.softmax(2))
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), logits.argmax(2))
    assert isinstance(bits, PackedMasks)
    assert torch.equal(bits.unpack(), labels)


def test_binary_outputs_threshold_at_zero(model, images):
    logits, probs, labels, bits = (
        sample(model, images, 6, seed=5, output=o) for o in ("logits", "probs", "labels", "bits")
    )
    torch.testing.assert_close(probs, logits.sigmoid())
    assert torch.equal(labels, (logits[:, :, 0] > 0).to(torch.uint8))
    assert torch.equal(bits.unpack(), labels)


def _assert_same_hypotheses(a, b):
    """Equal to rounding: float32 sums may be ordered differently."""
    torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6)
    clear = a.abs() > 1e-5
    assert torch.equal((a > 0)[clear], (b > 0)[clear])


def test_more_hypotheses_begin_with_the_fewer(model, images):
    many = sample(model, images, 1000, seed=7, output="logits")
    _assert_same_hypotheses(many[:, :16], sample(model, images, 16, seed=7, output="logits"))


@pytest.mark.parametrize("chunk", [1, 3, 16, 10_000])
@pytest.mark.parametrize("output", ["logits", "bits"])
def test_chunks_change_nothing(model, images, chunk, output):
    whole, parts = (sample(model, images, 33, seed=7, output=output, chunk=c) for c in (None, chunk))
    if output == "bits":
        assert (whole.unpack() != parts.unpack()).float().mean() < 1e-4
    else:
        _assert_same_hypotheses(whole, parts)


def test_batch_composition_changes_nothing_given_ids(model, images):
    ids = torch.tensor([7, 2**40, 3])
    together = sample(model, images, 5, seed=7, ids=ids, output="logits")
    for i in range(3):
        alone = sample(model, images[i : i + 1], 5, seed=7, ids=ids[i : i + 1], output="logits")
        _assert_same_hypotheses(together[i], alone[0])
    reversed_ = sample(model, images.flip(0), 5, seed=7, ids=ids.flip(0), output="logits")
    _assert_same_hypotheses(together, reversed_.flip(0))


def test_large_batches_go_through_the_unet_in_groups(model, monkeypatch):
    images = torch.rand(5, 1, 8, 8)
    whole = sample(model, images, 4, seed=1, output="bits")
    monkeypatch.setattr("fastpunet.memory._BUDGET_BYTES", {"cpu": 128 * PIXEL_BYTES})
    assert [encoding.images for encoding, _ in Sampler(model).encode_groups(images)] == [2, 2, 1]
    assert torch.equal(sample(model, images, 4, seed=1, output="bits").unpack(), whole.unpack())


def test_images_and_seeds_are_independent(model):
    images = torch.rand(1, 1, 8, 8).expand(2, -1, -1, -1)
    first = sample(model, images, 4, seed=1, output="logits")
    assert not torch.allclose(first[0], first[1])
    assert not torch.allclose(first, sample(model, images, 4, seed=2, output="logits"))


def test_a_seed_leaves_the_global_generator_alone_and_none_uses_it(model, images):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    sample(model, images, 2, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    fresh = sample(model, images, 2, output="logits")
    assert not torch.allclose(fresh, sample(model, images, 2, output="logits"))
    torch.manual_seed(11)
    assert torch.equal(fresh, sample(model, images, 2, output="logits"))


def test_decode_is_the_deterministic_core(model, images):
    sampler = Sampler(model)
    encoding = sampler.encode(images)
    z = torch.randn(3, 4, 3)
    expected = torch.stack([model.fcomb(encoding.features, z[:, k]) for k in range(4)], dim=1).detach()
    torch.testing.assert_close(sampler.decode(encoding, z, output="logits"), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(sampler.decode(encoding, z, output="logits", chunk=3), expected, rtol=1e-5, atol=1e-6)


def test_a_sampler_sees_new_weights(images):
    model = ProbabilisticUNet(1, 1, channels=(8, 12), latent_dim=3)
    sampler = Sampler(model)
    with torch.no_grad():
        model.fcomb.last_layer.weight.zero_()
        model.fcomb.last_layer.bias.fill_(-1.5)
    assert (sampler.draw(sampler.encode(images), 2, seed=0, output="logits") == -1.5).all()


def test_no_gradients_are_recorded(model, images):
    result = sample(model, images.requires_grad_(), 2, seed=1, output="logits")
    assert not result.requires_grad


def _peak_bytes(model, n):
    with torch.profiler.profile(profile_memory=True) as profile:
        sample(model, torch.rand(1, 1, 128, 128), n, seed=0, output="bits")
    total = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            total += event.nbytes()
            peak = max(peak, total)
    return peak


def test_peak_memory_for_bits_is_bounded():
    """1000 hypotheses of 128 x 128 as bits: 2 MB of result, and less than 200 MB above the model in all."""
    torch.manual_seed(0)
    model = ProbabilisticUNet(channels=(32, 64, 128, 192), convs_per_block=1, fcomb_layers=2).eval()
    few, many = _peak_bytes(model, 10), _peak_bytes(model, 1000)
    assert 5_000_000 < few <= many < 200_000_000
    assert many - few < 3_000_000


def test_threads_draw_the_same_hypotheses(images):
    port = PortModel(1, 1, (8, 12), 3).train()
    expected = sample(port, images, 3, seed=1, output="logits")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: sample(port, images, 3, seed=1, output="logits"), range(40)))
    assert all(torch.equal(result, expected) for result in results)
    assert all(module.training for module in port.modules())
