"""sample and Sampler: equal to the model's own f_comb, reproducible, honest about bad input."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from benchmarks.port import PortModel
from fastpunet import PackedMasks, ProbabilisticUNet, Sampler, load, memory, sample
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.latents import draw_latents
from fastpunet.models import MHeads
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


def test_no_gradients_are_recorded(model, images):
    result = sample(model, images.requires_grad_(), 2, seed=1, output="logits")
    assert not result.requires_grad


def test_more_hypotheses_than_the_memory_holds_are_refused_before_any_work(model, monkeypatch):
    monkeypatch.setattr("fastpunet.memory.free_memory", lambda _: 1_000_000)
    monkeypatch.setattr(model.unet, "forward", None)
    message = (
        r"^n: got 1000; 1000 hypotheses of 2 images as labels take 0.0 GB, and 0.0 GB are free. Take output=\"bits\" "
        r"\(0.0 GB\), part by part Sampler.stream, or fastpunet.summarize, which holds none$"
    )
    with pytest.raises(ValueError, match=message):
        sample(model, torch.rand(2, 1, 32, 32), 1000)


def test_the_memory_that_is_free_is_asked_of_the_system():
    free = memory.free_memory(torch.device("cpu"))
    with open("/proc/meminfo", encoding="ascii") as lines:
        total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal"))
    assert total / 1000 < free <= total


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


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(images=[[0.0]]), TypeError, "images: got list"),
        (dict(images=torch.rand(8, 8)), ValueError, r"images: got shape \(8, 8\), expected \(B, C, H, W\)"),
        (dict(images=torch.zeros(1, 1, 8, 8, dtype=torch.uint8)), TypeError, "images: got torch.uint8"),
        (dict(images=torch.rand(1, 3, 8, 8)), ValueError, "images: got 3 channels, the model takes 1"),
        (dict(images=torch.rand(0, 1, 8, 8)), ValueError, "images: got the empty shape"),
        (dict(images=torch.rand(1, 1, 0, 8)), ValueError, "images: got the empty shape"),
        (dict(images=torch.full((1, 1, 8, 8), torch.nan)), ValueError, "images: NaN or infinity"),
        (dict(images=torch.full((1, 1, 8, 8), -torch.inf)), ValueError, "images: NaN or infinity"),
        (dict(images=torch.empty(1, 1, 8, 8, device="meta")), ValueError, "images: on meta, the model on cpu"),
        (dict(n=0), ValueError, "n: got 0, expected a whole number of at least 1"),
        (dict(n=-5), ValueError, "n: got -5"),
        (dict(n=2.5), TypeError, "n: got 2.5, expected a whole number"),
        (dict(n=2**32 + 1), ValueError, "n: got 4294967297"),
        (dict(seed=-1), ValueError, "seed: got -1"),
        (dict(seed=2**63), ValueError, "seed: got 9223372036854775808"),
        (dict(seed="1"), TypeError, "seed: got '1', expected a whole number"),
        (dict(ids=torch.tensor([0.0])), TypeError, "ids: got torch.float32"),
        (dict(ids=torch.tensor([0, 1])), ValueError, r"ids: got shape \(2,\), expected \(1,\)"),
        (dict(output="masks"), ValueError, "output: got 'masks', expected one of labels, logits, probs, bits"),
        (dict(precision="fp16"), ValueError, "precision: got 'fp16', expected one of auto"),
        (dict(precision="tf32"), ValueError, 'precision: "tf32" needs an NVIDIA GPU'),
        (dict(backend="cuda"), ValueError, "backend: got 'cuda', expected one of auto"),
        (dict(chunk=0), ValueError, "chunk: got 0"),
        (dict(chunk="all"), TypeError, "chunk: got 'all', expected a whole number"),
        (dict(model=torch.nn.Linear(1, 1)), TypeError, "model: got Linear without unet, prior, fcomb"),
        (dict(model=None), TypeError, "model: got NoneType"),
    ],
)
def test_bad_input_is_named(model, change, error, message):
    arguments = dict(model=model, images=torch.rand(1, 1, 8, 8), n=2, seed=0) | change
    with pytest.raises(error, match=f"^{message}"):
        sample(arguments.pop("model"), arguments.pop("images"), arguments.pop("n"), **arguments)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (torch.randn(1, 4, 2), r"z: got \(1, 4, 2\), expected \(1, n, 3\)"),
        (torch.randn(2, 4, 3), r"z: got \(2, 4, 3\)"),
        (torch.randn(1, 3), r"z: got \(1, 3\)"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), "z: expected finite floats, got torch.int64"),
        (torch.full((1, 4, 3), torch.nan), "z: expected finite floats, got torch.float32 with NaN"),
        (torch.randn(1, 0, 3), "n: got 0, expected a whole number of at least 1"),
    ],
)
def test_bad_latents_are_named(model, z, message):
    sampler = Sampler(model)
    with pytest.raises(ValueError, match=f"^{message}"):
        sampler.decode(sampler.encode(torch.rand(1, 1, 8, 8)), z)


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


def test_threads_take_turns(images):
    port = PortModel(1, 1, (8, 12), 3).train()
    expected = sample(port, images, 3, seed=1, output="logits")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: sample(port, images, 3, seed=1, output="logits"), range(40)))
    assert all(torch.equal(result, expected) for result in results)
    assert all(module.training for module in port.modules())


def test_an_encoding_of_another_method_is_refused(model, images):
    encoding = Sampler(MHeads(channels=(8, 12))).encode(images)
    with pytest.raises(TypeError, match="^encoding: got Heads, expected the LatentEncoding that encode"):
        Sampler(model).draw(encoding, 2)
    with pytest.raises(TypeError, match="^encoding: got Tensor"):
        Sampler(model).draw(images, 2)


def test_a_sampler_follows_its_model_to_another_device_and_dtype(images):
    model = ProbabilisticUNet(1, 1, channels=(8, 12), latent_dim=3)
    sampler = Sampler(model)
    model.to(torch.bfloat16)
    assert sampler.encode(images).features.dtype == torch.float32
    model.to("meta")
    with pytest.raises(ValueError, match="images: on cpu, the model on meta"):
        sampler.encode(images)


def test_more_classes_than_a_byte_holds_are_refused():
    with pytest.raises(ValueError, match="model: got 300 classes, expected at most 256"):
        sample(PortModel(1, 300, (8, 12), 3), torch.rand(1, 1, 8, 8), 2)


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
    model = ProbabilisticUNet(1, 1, channels=(8, 12), latent_dim=2)
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
