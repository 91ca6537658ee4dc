"""The compiled CPU kernels, one instruction set after the other, against the reference and exact arithmetic."""

import math
import threading
import time
from functools import partial
from itertools import pairwise, product

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastpunet_kernels as ops
from fastpunet_kernels import Decoder, Gaussian, reference
from fastpunet_kernels.native import launch

if launch.kernels is None:
    pytest.skip(f"native kernels: {launch.WHY_MISSING}", allow_module_level=True)

CAPABILITIES = launch.kernels.CAPABILITIES[: launch.capability() + 1]
OUTPUTS = ("labels", "bits", "logits", "probs")
property_test = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=CAPABILITIES)
def capability(request, monkeypatch):
    """Runs the test once for every instruction set that this processor has."""
    monkeypatch.setattr(launch, "capability", lambda: CAPABILITIES.index(request.param))
    return request.param


def case(pixels=37, widths=(8, 8, 8), latent_dim=3, classes=1, images=2, n=5, seed=0):
    """base, decoder and z of random numbers; `widths` are the inputs of each layer."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [*widths, classes]
    weights = [torch.randn(o, i, generator=generator) / i**0.5 for i, o in pairwise(sizes)]
    biases = [torch.randn(len(w), generator=generator) / 4 for w in weights]
    decoder = Decoder(torch.randn(widths[0], latent_dim, generator=generator), weights, biases)
    base = torch.randn(images, pixels, widths[0], generator=generator)
    return base, decoder, torch.randn(images, n, latent_dim, generator=generator)


def exact_logits(base, decoder, z):
    hidden = base.double()[:, None] + (z.double() @ decoder.z_weight.double().T)[:, :, None]
    for weight, bias in zip(decoder.weights, decoder.biases, strict=True):
        hidden = hidden.relu() @ weight.double().T + bias.double()
    return hidden.movedim(-1, -2)


def unaligned(tensor):
    """The same values, C-contiguous, four bytes away from where an allocation starts."""
    storage = torch.empty(tensor.numel() + 1, dtype=tensor.dtype)
    return storage[1:].view(tensor.shape).copy_(tensor)


def strided(tensor):
    """The same values with gaps between them."""
    return torch.stack([tensor, torch.full_like(tensor, 7)], dim=-1)[..., 0]


sizes = st.integers(1, 130)


@property_test
@given(
    pixels=sizes,
    widths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    classes=st.integers(1, 20),
    images=st.integers(1, 2),
    n=st.integers(1, 4),
    layout=st.sampled_from([unaligned, strided, torch.Tensor.clone]),
)
def test_decoding_equals_the_reference_for_any_size_and_layout(capability, pixels, widths, classes, images, n, layout):
    base, decoder, z = case(pixels, widths, 2, classes, images, n, seed=pixels)
    moved = Decoder(layout(decoder.z_weight), list(map(layout, decoder.weights)), list(map(layout, decoder.biases)))
    got = {o: ops.decode_samples(layout(base), moved, layout(z), output=o, backend="native") for o in OUTPUTS}
    want = ops.decode_samples(base, decoder, z, output="logits", backend="reference")
    torch.testing.assert_close(got["logits"], want, rtol=1e-5, atol=1e-5)
    probs = want.sigmoid() if classes == 1 else want.softmax(2)
    torch.testing.assert_close(got["probs"], probs, rtol=1e-5, atol=1e-6)
    labels = got["logits"][:, :, 0] > 0 if classes == 1 else got["logits"].argmax(2)
    assert torch.equal(got["labels"].long(), labels.long())
    assert torch.equal(got["bits"], reference.pack_labels(labels.long(), [1] if classes == 1 else range(classes)))


@pytest.mark.parametrize("classes", [1, 24])
def test_float32_error_is_at_most_twice_that_of_pytorch(capability, classes):
    base, decoder, z = case(500, (32, 32, 32), 6, classes, images=1, n=20)
    exact = exact_logits(base, decoder, z)
    plain = ops.decode_samples(base, decoder, z, output="logits", backend="reference")
    ours = ops.decode_samples(base, decoder, z, output="logits", backend="native")
    assert 0 < (ours - exact).norm() <= 2 * (plain - exact).norm()
    probs = exact.sigmoid() if classes == 1 else exact.softmax(2)
    plain_probs = plain.sigmoid() if classes == 1 else plain.softmax(2)
    ours_probs = ops.decode_samples(base, decoder, z, output="probs", backend="native")
    assert 0 < (ours_probs - probs).norm() <= 2 * (plain_probs - probs).norm()


@pytest.mark.parametrize("widths", [(32, 32, 32), (17, 33, 5), (64,)])
def test_bf16_error_is_at_most_twice_that_of_pytorch(capability, widths):
    base, decoder, z = case(200, widths, 6, 3, images=1, n=20)
    exact = exact_logits(base, decoder, z)
    plain = ops.decode_samples(base, decoder, z, output="logits", precision="bf16", backend="reference")
    ours = ops.decode_samples(base, decoder, z, output="logits", precision="bf16", backend="native")
    assert (ours - exact).norm() <= 2 * (plain - exact).norm()
    ieee = ops.decode_samples(base, decoder, z, output="logits", backend="native")
    has_bf16 = capability in ("avx512_bf16", "amx")
    assert torch.equal(ours, ieee) != has_bf16  # without such instructions it is computed in float32


@pytest.mark.parametrize("precision", ["ieee", "bf16"])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_sums_are_those_of_the_hypotheses(capability, classes, precision):
    base, decoder, z = case(77, (16, 16), 3, classes, n=9)
    base[0, :5] *= 1e4  # logits far from zero: probabilities 0 and 1, no entropy
    sums = ops.decode_sums(base, decoder, z, precision=precision, backend="native")
    logits = ops.decode_samples(base, decoder, z, output="logits", precision=precision, backend="native").double()
    probs = logits.sigmoid() if classes == 1 else logits.softmax(2)
    entropy = torch.special.entr(torch.cat((1 - probs, probs), 2) if classes == 1 else probs).sum(2)
    torch.testing.assert_close(sums.probability, probs.sum(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.entropy, entropy.sum(1), rtol=1e-5, atol=1e-5)
    labels = (logits[:, :, 0] > 0).long() if classes == 1 else logits.argmax(2)
    counted = [1] if classes == 1 else range(classes)
    assert torch.equal(sums.volume, torch.stack([(labels == c).sum(2) for c in counted], dim=-1))


def test_entropy_is_accurate_from_certain_to_undecided(capability):
    logits = torch.cat([torch.linspace(-90, 90, 20001), torch.tensor([0.0, 1e-6, 1e30, -1e30])])
    decoder = Decoder(torch.zeros(2, 1), [torch.tensor([[1.0, -1.0]])], [torch.zeros(1)])
    base = torch.stack([logits, -logits], dim=1)[None]  # relu(x) - relu(-x) = x
    sums = ops.decode_sums(base, decoder, torch.zeros(1, 1, 1), backend="native")
    p = logits.double().sigmoid()
    entropy = torch.special.entr(p) + torch.special.entr((-logits.double()).sigmoid())
    torch.testing.assert_close(sums.probability[0, 0], p, rtol=1e-6, atol=1e-37)
    torch.testing.assert_close(sums.entropy[0], entropy, rtol=1e-5, atol=2e-7)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("logits", [(1.0, 1, 0), (0, 0, 0), (0, 2, 2), (0,), (-0.0,)])
def test_ties_are_decided_as_by_pytorch(capability, logits, output):
    bias = torch.tensor(logits, dtype=torch.float32)
    decoder = Decoder(torch.zeros(2, 1), [torch.zeros(len(bias), 2)], [bias])
    inputs = torch.zeros(1, 3, 2), decoder, torch.zeros(1, 1, 1)
    got = ops.decode_samples(*inputs, output=output, backend="native")
    want = ops.decode_samples(*inputs, output=output, backend="reference")
    torch.testing.assert_close(got, want)


def test_hypotheses_have_the_same_bits_alone_and_among_others(capability):
    base, decoder, z = case(61, (33, 70, 17), 7, 3, images=3, n=40)
    mu, sigma, ids = z[:, 0], z[:, 1].abs(), torch.tensor([3, 2**40, 0])
    for output, precision in product(OUTPUTS, ("ieee", "bf16")):
        decode = partial(ops.decode_samples, output=output, precision=precision, backend="native")
        whole = decode(base, decoder, z)
        drawn = decode(base, decoder, Gaussian(mu, sigma, ids, 8, 0, 40))
        for image, first, n in ((0, 0, 1), (1, 39, 1), (2, 13, 7), (1, 0, 16)):
            one, part = slice(image, image + 1), slice(first, first + n)
            assert torch.equal(decode(base[one], decoder, z[one, part]), whole[one, part])
            recipe = Gaussian(mu[one], sigma[one], ids[one], 8, first, n)
            assert torch.equal(decode(base[one], decoder, recipe), drawn[one, part])


def test_a_large_bias_does_not_cost_the_small_terms_their_bits(capability):
    """Few outputs after many inputs: the sum starts with the terms, and the bias comes last."""
    base, decoder, z = case(700, (128, 128), 3, 2, images=1, n=8)
    decoder.biases[1][:] = 300.0
    exact = exact_logits(base, decoder, z)
    plain, ours = (ops.decode_samples(base, decoder, z, output="logits", backend=b) for b in ("reference", "native"))
    assert (ours - exact).abs().max() <= 2 * (plain - exact).abs().max()


def test_threads_change_nothing(capability):
    base, decoder, z = case(3000, (32, 32, 32), 6, 2, images=2, n=30)
    masks = reference.pack_bits(torch.rand(2, 150, 2, 700) > 0.5)
    weights = torch.rand(2, 150, dtype=torch.float64)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(
            [
                *(ops.decode_samples(base, decoder, z, output=o, backend="native") for o in OUTPUTS),
                *ops.decode_sums(base, decoder, z, backend="native"),
                ops.distance_sums(masks, masks, weights, weights, 1.0, backend="native"),
                ops.mask_iou(masks, masks, 1.0, backend="native"),
                ops.philox_normal(1, torch.arange(3), 0, 3000, 6, backend="native"),
            ]
        )
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


def test_other_python_threads_go_on_meanwhile():
    base, decoder, z = case(20_000, (32, 32, 32), 6, images=1, n=500)
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    ops.decode_samples(base, decoder, z, output="bits", backend="native")
    end = time.perf_counter()
    done.set()
    thread.join()
    assert sum(start < t < end for t in ticks) >= 3


@property_test
@given(
    images=st.integers(1, 2),
    na=st.integers(1, 70),
    nb=st.integers(1, 9),
    classes=st.integers(1, 3),
    pixels=st.integers(1, 1100),
    layout=st.sampled_from([unaligned, strided, torch.Tensor.clone]),
    empty=st.sampled_from([1.0, 0.0, math.nan]),
)
def test_pairs_equal_the_reference_for_any_size_and_layout(capability, images, na, nb, classes, pixels, layout, empty):
    generator = torch.Generator().manual_seed(pixels)
    a = reference.pack_bits(torch.rand(images, na, classes, pixels, generator=generator) > 0.4)
    b = reference.pack_bits(torch.rand(images, nb, classes, pixels, generator=generator) > 0.6)
    a[:, 0], b[:, -1] = 0, 0
    weights_a = torch.rand(images, na, dtype=torch.float64, generator=generator)
    weights_b = torch.rand(images, nb, dtype=torch.float64, generator=generator)
    left, right = layout(a), layout(b)
    counts = ops.pairwise_intersection(left, right, backend="native")
    assert torch.equal(counts, ops.pairwise_intersection(a, b, backend="reference"))
    assert torch.equal(
        ops.pairwise_intersection(left, left, backend="native"),
        ops.pairwise_intersection(a, a, backend="reference"),
    )
    for x, y in ((left, right), (left, left)):
        iou = ops.mask_iou(x, y, empty, backend="native")
        want = ops.mask_iou(x.clone(), y.clone(), empty, backend="reference")
        assert torch.equal(iou.nan_to_num(nan=-1), want.nan_to_num(nan=-1))
    for x, y, u, v in ((a, b, weights_a, weights_b), (a, a, weights_a, weights_a)):
        same = x is y
        got = ops.distance_sums(left, left if same else right, layout(u), layout(v), empty, backend="native")
        want = ops.distance_sums(x, y, u, v, empty, backend="reference")
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("part", [1, 3, 4, 64])
def test_a_part_of_a_set_is_not_taken_for_the_set(capability, part):
    masks = reference.pack_bits(torch.rand(1, 65, 1, 64, generator=torch.Generator().manual_seed(1)) > 0.5)
    weights = torch.rand(1, 65, dtype=torch.float64)
    for a, b in ((slice(part), slice(None)), (slice(None), slice(part))):
        x, y, u, v = masks[:, a], masks[:, b], weights[:, a], weights[:, b]
        for op, arguments in (
            (ops.mask_iou, (x, y, 1.0)),
            (ops.pairwise_intersection, (x, y)),
            (ops.distance_sums, (x, y, u, v, 1.0)),
        ):
            native, plain = (op(*arguments, backend=backend) for backend in ("native", "reference"))
            torch.testing.assert_close(native, plain, rtol=1e-12, atol=1e-12)


def test_small_weights_count(capability):
    masks = reference.pack_bits(torch.tensor([[[0, 0]], [[1, 1]]], dtype=torch.bool)[None])
    weights = torch.tensor([[1 - 1e-9, 1e-9]], dtype=torch.float64)
    got, want = (
        ops.distance_sums(masks, masks, weights, weights, math.nan, backend=backend)
        for backend in ("native", "reference")
    )
    torch.testing.assert_close(got, want, rtol=1e-9, atol=0)


def test_a_set_and_its_copy_have_the_very_same_sums(capability):
    masks = reference.pack_bits(torch.rand(2, 67, 3, 333, generator=torch.Generator().manual_seed(1)) > 0.5)
    weights = torch.rand(2, 67, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    itself = ops.distance_sums(masks, masks, weights, weights, 1.0, backend="native")
    copies = ops.distance_sums(masks, masks.clone(), weights, weights.clone(), 1.0, backend="native")
    assert torch.equal(itself, copies)


@property_test
@given(
    masks=st.integers(1, 5),
    pixels=sizes,
    classes=st.lists(st.integers(0, 260), min_size=1, max_size=5, unique=True),
    dtype=st.sampled_from([torch.uint8, torch.int8, torch.int16, torch.int64]),
)
def test_packing_equals_the_reference(capability, masks, pixels, classes, dtype):
    generator = torch.Generator().manual_seed(pixels)
    labels = torch.randint(-3, 300, (2, masks, pixels), generator=generator)
    labels[..., ::2] = labels[..., ::2] % 4
    labels = strided(labels.to(dtype))
    words = ops.pack_labels(labels, classes, backend="native")
    assert torch.equal(words, ops.pack_labels(labels, classes, backend="reference"))
    unpacked = ops.unpack_labels(unaligned(words), pixels, backend="native")
    assert torch.equal(unpacked, ops.unpack_labels(words, pixels, backend="reference"))


def test_noise_is_that_of_the_reference():
    ids = torch.tensor([0, 2**33 + 5, 2**63 - 1, -7])
    for seed, first, dim in ((0, 0, 6), (2**63 - 1, 2**32 - 300, 1), (2**40 + 7, 11, 13)):
        native = ops.philox_normal(seed, ids, first, 300, dim, backend="native")
        torch.testing.assert_close(native, reference.philox_normal(seed, ids, first, 300, dim), rtol=1e-5, atol=2e-6)


def test_gaussian_latents_equal_drawing_them_first(capability):
    base, decoder, _ = case()
    mu, sigma, ids = torch.randn(2, 3), torch.rand(2, 3), torch.tensor([3, 2**40])
    z = mu[:, None] + sigma[:, None] * ops.philox_normal(8, ids, 4, 6, 3, backend="native")
    recipe = Gaussian(mu, sigma, ids, 8, 4, 6)
    drawn = ops.decode_samples(base, decoder, recipe, output="logits", backend="native")
    torch.testing.assert_close(drawn, ops.decode_samples(base, decoder, z, output="logits", backend="native"))
    sums = ops.decode_sums(base, decoder, recipe, backend="native")
    torch.testing.assert_close(sums.probability, drawn.double().sigmoid().sum(1), rtol=1e-5, atol=1e-5)


def test_the_environment_can_ask_for_a_lower_instruction_set(monkeypatch):
    launch.capability.cache_clear()
    try:
        monkeypatch.setenv(launch.CAPABILITY_VARIABLE, "portable")
        assert launch.capability() == 0
        launch.capability.cache_clear()
        monkeypatch.setenv(launch.CAPABILITY_VARIABLE, "sse9")
        with pytest.raises(ValueError, match="FASTPUNET_CPU_CAPABILITY: got 'sse9', expected one of portable"):
            launch.capability()
    finally:
        launch.capability.cache_clear()
