"""The reference ops against hand-computed cases, NumPy loops and the statistics they promise."""

import math
from functools import partial
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import library

import fastpunet_kernels
from fastpunet_kernels import Decoder, Gaussian, pack_bits, reference, select_backend, unpack_bits
from fastpunet_kernels.native import launch

decode_samples = partial(fastpunet_kernels.decode_samples, backend="reference")
pairwise_intersection = partial(fastpunet_kernels.pairwise_intersection, backend="reference")
philox_normal = partial(fastpunet_kernels.philox_normal, backend="reference")


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    """The vectors published with Random123 for Philox4x32-10."""
    words = reference.philox_4x32([torch.tensor([word]) for word in counter], key)
    assert tuple(int(word) for word in words) == expected


def test_normals_are_box_muller_of_the_counter():
    seed, image, hypothesis = 2**40 + 7, 2**33 + 5, 11
    normals = philox_normal(seed, torch.tensor([image]), hypothesis, 1, 6)[0, 0]
    for d in range(6):
        counter = [torch.tensor([w]) for w in (hypothesis, d // 4, image % 2**32, image >> 32)]
        words = [int(w) for w in reference.philox_4x32(counter, (seed % 2**32, seed >> 32))]
        first, second = words[2 * (d % 4 // 2) : 2 * (d % 4 // 2) + 2]
        u, v = (first + 0.5) * 2**-32, (second + 0.5) * 2**-32
        turn = math.cos if d % 2 == 0 else math.sin
        assert float(normals[d]) == pytest.approx(math.sqrt(-2 * math.log(u)) * turn(2 * math.pi * v), abs=2e-6)


def test_noise_is_standard_normal():
    noise = philox_normal(5, torch.arange(4), 0, 50_000, 6).double()
    flat = noise.flatten().numpy()
    assert stats.kstest(flat, "norm").pvalue > 1e-3
    standard_error = 1 / math.sqrt(flat.size)
    assert abs(flat.mean()) < 4 * standard_error
    assert abs(flat.var() - 1) < 4 * math.sqrt(2) * standard_error
    assert abs(stats.skew(flat)) < 4 * math.sqrt(6) * standard_error
    assert abs(stats.kurtosis(flat)) < 4 * math.sqrt(24) * standard_error


def test_images_seeds_hypotheses_and_dimensions_are_independent():
    base = philox_normal(5, torch.tensor([0, 1, 2**32]), 0, 20_000, 6)
    other_seeds = [philox_normal(seed, torch.tensor([0]), 0, 20_000, 6)[0] for seed in (6, 5 + 2**32)]
    series = torch.cat([*base.unbind(0), *other_seeds, base[0].roll(1, 0)], dim=1).double()  # (20000, 36)
    correlation = torch.corrcoef(series.T) - torch.eye(series.shape[1])
    assert correlation.abs().max() < 5 / math.sqrt(20_000)


def test_noise_depends_on_seed_id_and_hypothesis_alone():
    whole = philox_normal(3, torch.tensor([4, 9]), 0, 40, 5)
    assert torch.equal(philox_normal(3, torch.tensor([9]), 0, 40, 5)[0], whole[1])
    assert torch.equal(philox_normal(3, torch.tensor([4, 9]), 17, 3, 5), whole[:, 17:20])
    assert torch.equal(philox_normal(3, torch.tensor([4]), 0, 40, 2)[0], whole[0, :, :2])


def test_extreme_seeds_ids_and_hypotheses_are_distinct_and_finite():
    drawn = [
        philox_normal(seed, torch.tensor([image]), first, 1, 4)
        for seed in (0, 2**32, 2**63 - 1)
        for image in (0, 2**32, 2**63 - 1)
        for first in (0, 2**32 - 1)
    ]
    assert all(torch.isfinite(noise).all() for noise in drawn)
    assert len({tuple(noise.flatten().tolist()) for noise in drawn}) == len(drawn)


def _decode_by_loop(base, decoder, z):
    """float64 logits (B, n, K, P), one pixel at a time."""
    weights = [w.double().numpy() for w in decoder.weights]
    biases = [b.double().numpy() for b in decoder.biases]
    images, pixels, _ = base.shape
    logits = np.empty((images, z.shape[1], len(biases[-1]), pixels))
    for b, k, p in np.ndindex(images, z.shape[1], pixels):
        hidden = np.maximum(
            base[b, p].double().numpy() + decoder.z_weight.double().numpy() @ z[b, k].double().numpy(), 0
        )
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            hidden = np.maximum(weight @ hidden + bias, 0)
        logits[b, k, :, p] = weights[-1] @ hidden + biases[-1]
    return torch.from_numpy(logits)


def _case(pixels=37, width=8, latent_dim=3, classes=1, hidden_layers=2, images=2, n=5, seed=0):
    torch.manual_seed(seed)
    sizes = [width] * (hidden_layers + 1)
    weights = [torch.randn(o, i) / i**0.5 for i, o in pairwise(sizes)]
    weights.append(torch.randn(classes, width))
    decoder = Decoder(torch.randn(width, latent_dim), weights, [torch.randn(len(w)) for w in weights])
    return torch.randn(images, pixels, width), decoder, torch.randn(images, n, latent_dim)


@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("hidden_layers", [0, 1, 2])
def test_decode_equals_a_numpy_loop(classes, hidden_layers):
    base, decoder, z = _case(classes=classes, hidden_layers=hidden_layers)
    exact = _decode_by_loop(base, decoder, z)
    logits = decode_samples(base, decoder, z, output="logits")
    torch.testing.assert_close(logits.double(), exact, rtol=1e-5, atol=1e-5)
    probs = torch.sigmoid(exact) if classes == 1 else exact.softmax(2)
    torch.testing.assert_close(decode_samples(base, decoder, z, output="probs").double(), probs, rtol=1e-5, atol=1e-6)
    labels = exact[:, :, 0] > 0 if classes == 1 else exact.argmax(2)
    assert torch.equal(decode_samples(base, decoder, z, output="labels").long(), labels.long())
    planes = labels[:, :, None] if classes == 1 else labels[:, :, None] == torch.arange(classes)[:, None]
    assert torch.equal(decode_samples(base, decoder, z, output="bits"), pack_bits(planes))


@pytest.mark.parametrize("pixels", [1, 31, 32, 33, 1023, 1024, 1025, 2500])
@pytest.mark.parametrize("n", [1, 7, 9])
def test_tiles_cover_every_pixel_and_hypothesis(pixels, n, monkeypatch):
    base, decoder, z = _case(pixels=pixels, n=n, images=1, classes=2)
    whole = decode_samples(base, decoder, z, output="logits", backend="reference")
    monkeypatch.setattr(reference, "_CPU_TILE", 64)
    tiled = decode_samples(base, decoder, z, output="logits", backend="reference")
    torch.testing.assert_close(tiled, whole)
    bits = decode_samples(base, decoder, z, output="bits", backend="reference")
    assert torch.equal(bits, reference.pack_labels(tiled.argmax(2), [0, 1]))


def test_hypotheses_have_the_same_bits_alone_and_among_others():
    base, decoder, z = _case(pixels=100, width=17, latent_dim=7, classes=3, images=3, n=40)
    mu, sigma, ids = z[:, 0], z[:, 1].abs(), torch.tensor([3, 2**40, 0])
    for output, precision in product(("labels", "bits", "logits", "probs"), ("ieee", "bf16")):
        decode = partial(decode_samples, output=output, precision=precision, backend="reference")
        whole = decode(base, decoder, z)
        drawn = decode(base, decoder, Gaussian(mu, sigma, ids, 8, 0, 40))
        for image, first, n in ((0, 0, 1), (1, 39, 1), (2, 13, 7), (1, 0, 16)):
            one, part = slice(image, image + 1), slice(first, first + n)
            assert torch.equal(decode(base[one], decoder, z[one, part]), whole[one, part])
            recipe = Gaussian(mu[one], sigma[one], ids[one], 8, first, n)
            assert torch.equal(decode(base[one], decoder, recipe), drawn[one, part])


def test_ties_go_to_the_first_class():
    assert reference.finish(torch.tensor([[[1.0, 1.0, 0.5]]]), "labels").item() == 0
    assert reference.finish(torch.tensor([[[0.0]]]), "labels").item() == 0


def test_gaussian_latents_equal_drawing_them_first():
    base, decoder, _ = _case()
    mu, sigma, ids = torch.randn(2, 3), torch.rand(2, 3), torch.tensor([3, 2**40])
    z = mu[:, None] + sigma[:, None] * philox_normal(8, ids, 4, 6, 3)
    drawn = decode_samples(base, decoder, Gaussian(mu, sigma, ids, 8, 4, 6), output="logits")
    torch.testing.assert_close(drawn, decode_samples(base, decoder, z, output="logits"))


def test_bf16_error_is_that_of_bf16():
    base, decoder, z = _case(pixels=400, width=32, images=1, n=20)
    exact = _decode_by_loop(base[:, :50], decoder, z)
    logits = decode_samples(base[:, :50], decoder, z, output="logits", precision="bf16").double()
    plain = base[:, :50].bfloat16()[:, None] + (z.bfloat16() @ decoder.z_weight.bfloat16().T)[:, :, None]
    hidden = plain.relu()
    for weight, bias in zip(decoder.weights[:-1], decoder.biases[:-1], strict=True):
        hidden = torch.nn.functional.linear(hidden, weight.bfloat16(), bias.bfloat16()).relu()
    plain = torch.nn.functional.linear(hidden, decoder.weights[-1].bfloat16(), decoder.biases[-1].bfloat16())
    plain_error = (plain.double().movedim(-1, -2) - exact).norm()
    assert 0 < (logits - exact).norm() <= 2 * plain_error


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_pack_and_unpack_are_inverse(pixels, seed):
    mask = torch.rand(3, pixels, generator=torch.Generator().manual_seed(seed)) > 0.5
    words = pack_bits(mask)
    assert words.shape == (3, -(-pixels // 32))
    assert torch.equal(unpack_bits(words, pixels), mask)
    assert not unpack_bits(words, words.shape[-1] * 32)[:, pixels:].any()


def test_bit_order_is_little_endian():
    mask = torch.zeros(40, dtype=torch.bool)
    mask[[0, 5, 31, 33]] = True
    assert pack_bits(mask).tolist() == [1 + 2**5 - 2**31, 2]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 90))
def test_intersection_equals_a_loop(images, na, nb, classes, pixels):
    generator = torch.Generator().manual_seed(images + 10 * na + 100 * pixels)
    a = torch.rand(images, na, classes, pixels, generator=generator) > 0.4
    b = torch.rand(images, nb, classes, pixels, generator=generator) > 0.6
    counts = pairwise_intersection(pack_bits(a), pack_bits(b))
    assert counts.dtype == torch.int32
    for i, j, k, c in np.ndindex(images, na, nb, classes):
        assert counts[i, j, k, c] == (a[i, j, c] & b[i, k, c]).sum()


def test_intersection_is_exact_when_it_runs_in_pieces(monkeypatch):
    masks = pack_bits(torch.rand(1, 6, 2, 5000) > 0.3)
    whole = pairwise_intersection(masks, masks)
    monkeypatch.setattr(reference, "_UNPACKED_FLOATS", 5000)
    assert torch.equal(pairwise_intersection(masks, masks), whole)


@pytest.mark.parametrize("classes", [1, 3])
def test_sums_in_pieces_are_those_of_the_hypotheses(classes, monkeypatch):
    base, decoder, z = _case(classes=classes, n=11)
    monkeypatch.setattr(reference, "_LOGITS", 4 * 2 * classes * 37)  # four hypotheses of both images at a time
    sums = fastpunet_kernels.decode_sums(base, decoder, z, backend="reference")
    exact = _decode_by_loop(base, decoder, z)
    probs = exact.sigmoid() if classes == 1 else exact.softmax(2)
    entropy = torch.special.entr(torch.cat((1 - probs, probs), 2) if classes == 1 else probs).sum(2)
    torch.testing.assert_close(sums.probability, probs.sum(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.entropy, entropy.sum(1), rtol=1e-5, atol=1e-5)
    labels = (exact[:, :, 0] > 0).long() if classes == 1 else exact.argmax(2)
    counted = [1] if classes == 1 else range(classes)
    assert torch.equal(sums.volume, torch.stack([(labels == c).sum(2) for c in counted], dim=-1))


@pytest.mark.parametrize("empty", [1.0, 0.0, math.nan])
def test_distance_sums_in_pieces_equal_a_loop(empty, monkeypatch):
    monkeypatch.setattr(reference, "_COMPARED", 2 * 2 * 5 * 3)  # two rows of both images at a time
    a, b = torch.rand(2, 7, 3, 40) > 0.8, torch.rand(2, 5, 3, 40) > 0.8
    a[:, 0], b[:, 1], a[:, :, 2] = False, False, False
    u, v = torch.rand(2, 7, dtype=torch.float64), torch.rand(2, 5, dtype=torch.float64)
    packed = pack_bits(a), pack_bits(b)
    iou = fastpunet_kernels.mask_iou(*packed, empty, backend="reference")
    sums = torch.zeros(2, 2, dtype=torch.float64)
    for image, i, j in np.ndindex(2, 7, 5):
        shared, either = (a[image, i] & b[image, j]).sum(1).double(), (a[image, i] | b[image, j]).sum(1).double()
        each = torch.where(either > 0, shared / either, empty)
        torch.testing.assert_close(iou[image, i, j].double(), each, rtol=1e-6, atol=0, equal_nan=True)
        d = 1 - each.nanmean()
        if not d.isnan():
            sums[image] += u[image, i] * v[image, j] * torch.tensor([d, 1.0])
    got = fastpunet_kernels.distance_sums(*packed, u, v, empty, backend="reference")
    torch.testing.assert_close(got, sums, rtol=1e-12, atol=1e-12)


def test_labels_are_packed_in_pieces_and_unpacked(monkeypatch):
    monkeypatch.setattr(reference, "_COMPARED", 2 * 3 * 50)  # two masks at a time
    labels = torch.randint(0, 5, (3, 5, 50))
    words = fastpunet_kernels.pack_labels(labels, [4, 0, 300], backend="reference")
    wanted = torch.tensor([4, 0, 300])[:, None]
    assert torch.equal(unpack_bits(words, 50), labels[:, :, None] == wanted)
    unpacked = fastpunet_kernels.unpack_labels(words, 50, backend="reference")
    expected = torch.where(labels == 4, 0, torch.where(labels == 0, 1, 255))
    assert torch.equal(unpacked.long(), expected)
    assert torch.equal(fastpunet_kernels.unpack_labels(words[:, :, :1], 50, backend="reference"), (labels == 4).byte())


def test_autocast_around_an_op_changes_nothing():
    base, decoder, z = _case()
    masks = pack_bits(torch.rand(1, 5, 1, 6001) > 0.1)
    expected = decode_samples(base, decoder, z, output="logits"), pairwise_intersection(masks, masks)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(decode_samples(base, decoder, z, output="logits"), expected[0])
        assert torch.equal(pairwise_intersection(masks, masks), expected[1])


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_registered_ops_pass_opcheck_and_compile_whole(backend):
    base, decoder, z = _case()
    recipe = Gaussian(torch.randn(2, 3), torch.rand(2, 3), torch.arange(2), 1, 0, 4)
    masks = pack_bits(torch.rand(2, 3, 1, 50) > 0.5)
    weights = torch.rand(2, 3, dtype=torch.float64)
    check = library.opcheck
    ops = torch.ops.fastpunet
    check(ops.philox_normal.default, (1, torch.arange(3), 0, 4, 5, backend))
    check(ops.pairwise_intersection.default, (masks, masks[:, :2].clone(), backend))
    check(ops.area.default, (masks, backend))
    check(ops.mask_iou.default, (masks, masks[:, :2].clone(), 1.0, backend))
    check(ops.distance_sums.default, (masks, masks[:, :2].clone(), weights, weights[:, :2].clone(), 1.0, backend))
    check(ops.iou_of_pairs.default, (masks, torch.tensor([0, 2]), torch.tensor([1, 1]), 1.0, backend))
    check(ops.pack_labels.default, (torch.randint(0, 5, (3, 40)), [0, 4], backend))
    check(ops.unpack_labels.default, (masks, 50, backend))
    check(ops.decode_sums.default, (base, *decoder, z, "ieee", backend))
    for output in ("labels", "logits", "probs", "bits"):
        check(ops.decode_latents.default, (base, *decoder, z, output, "ieee", backend))
        check(ops.decode_gaussian.default, (base, *decoder, *recipe, output, "bf16", backend))

    def whole(base, masks, weights):
        labels = fastpunet_kernels.decode_samples(base, decoder, recipe, output="labels", backend=backend)
        sums = fastpunet_kernels.decode_sums(base, decoder, recipe, backend=backend)
        distances = fastpunet_kernels.distance_sums(masks, masks, weights, weights, 1.0, backend=backend)
        return labels.float().mean(1) + sums.entropy, distances, fastpunet_kernels.pack_labels(labels, [1])

    compiled = torch.compile(whole, fullgraph=True, backend="aot_eager")  # needs no C++ compiler
    torch.testing.assert_close(compiled(base, masks, weights), whole(base, masks, weights))


def test_an_unknown_backend_is_an_error_that_lists_the_choices():
    with pytest.raises(ValueError, match="backend: got 'cuda', expected one of auto, triton, native, reference"):
        select_backend("cuda", torch.device("cpu"))


def test_a_backend_that_cannot_run_is_an_error_that_says_why(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(RuntimeError, match="'triton' cannot run.*need a CUDA or ROCm device"):
        select_backend("triton", torch.device("cpu"))
    monkeypatch.setattr(launch, "WHY_MISSING", "it was not built; install a compiler")
    with pytest.raises(RuntimeError, match="'native' cannot run: it was not built; install a compiler. Until"):
        select_backend("native", torch.device("cpu"))
    with pytest.raises(
        RuntimeError, match="'native' cannot run: the native kernels need tensors on the CPU, not 'meta'"
    ):
        select_backend("native", torch.device("meta"))
    assert select_backend("auto", torch.device("cpu")) == "reference"


def test_unknown_output_and_precision_are_errors():
    base, decoder, z = _case()
    with pytest.raises(ValueError, match="output: got 'mask', expected one of labels"):
        decode_samples(base, decoder, z, output="mask")
    with pytest.raises(ValueError, match="precision: got 'fp16'"):
        decode_samples(base, decoder, z, precision="fp16")
    with pytest.raises(ValueError, match="b: got shape"):
        pairwise_intersection(torch.zeros(1, 2, 1, 4, dtype=torch.int32), torch.zeros(1, 2, 1, 5, dtype=torch.int32))
