"""The Triton kernels against reference.py and float64: natively on a GPU, in Triton's interpreter elsewhere."""

import math
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from fastpunet import ProbabilisticUNet, Sampler, load, sample
from fastpunet.data.lesions import SyntheticLesions
from fastpunet_kernels import (
    BACKENDS,
    OUTPUTS,
    Decoder,
    Gaussian,
    decode_samples,
    decode_sums,
    pack_bits,
    philox_normal,
    reference,
    unpack_bits,
    why_unavailable,
)

triton = pytest.importorskip("triton")

import triton.language as tl  # noqa: E402

from fastpunet_kernels.triton import decode as triton_decode  # noqa: E402
from fastpunet_kernels.triton import tiling  # noqa: E402
from fastpunet_kernels.triton.decode import CHUNK, launch_decode  # noqa: E402
from fastpunet_kernels.triton.philox import philox_words  # noqa: E402
from fastpunet_kernels.triton.tiling import by_rule, candidates, find_tiling  # noqa: E402

PRECISIONS = ("ieee", "tf32", "bf16")
RUN = by_rule((16, 1), "ieee").run
LATENT_DIM = 6
MEASURED_PIXELS = 1024  # plain PyTorch's error is a maximum over at least so many pixels, so that it is no accident

# Random123's known answers for Philox4x32-10: counter, key, words.
KNOWN_ANSWERS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


def quick(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_decoder(widths: tuple[int, ...], device: torch.device, latent_dim: int = LATENT_DIM) -> Decoder:
    """Layers of `widths` units, the classes last, of weights about as large as trained ones."""
    weights = [torch.randn(outs, ins) * (2 / ins) ** 0.5 for ins, outs in pairwise(widths)]
    biases = [torch.randn(outs) / 4 for outs in widths[1:]]
    z_weight = torch.randn(widths[0], latent_dim) / latent_dim**0.5
    return Decoder(z_weight.to(device), [w.to(device) for w in weights], [b.to(device) for b in biases])


def random_gaussian(images: int, n: int, device: torch.device, first: int = 3) -> Gaussian:
    mu, sigma = torch.randn(images, LATENT_DIM), torch.rand(images, LATENT_DIM) + 0.5
    ids = torch.tensor([2**63 - 1, 5, 0])[:images]
    return Gaussian(mu.to(device), sigma.to(device), ids.to(device), 2**63 - 1, first, n)


def exact_normal(seed: int, ids: Tensor, first: int, n: int, dim: int) -> Tensor:
    """`philox_normal` with Box-Muller in float64: float64 (B, n, dim)."""
    shape = (ids.numel(), n, -(-dim // 4))
    hypothesis = torch.arange(first, first + n).view(1, n, 1).expand(shape)
    block = torch.arange(shape[2]).expand(shape)
    image = ids.cpu().view(-1, 1, 1).expand(shape)
    mask = 0xFFFFFFFF
    counter = (hypothesis & mask, block, image & mask, (image >> 32) & mask)
    words = torch.stack(reference.philox_4x32(counter, (seed & mask, (seed >> 32) & mask)), -1)
    return exact_box_muller(words).flatten(-2)[..., :dim]


def exact_box_muller(words: Tensor) -> Tensor:
    """Philox words (..., 4) to normals (..., 4) in float64; the uniforms are float32 by definition."""
    u = (words.float() * 2.0**-32 + 2.0**-33).double()
    radius, angle = (-2 * u[..., 0::2].log()).sqrt(), 2 * math.pi * u[..., 1::2]
    return torch.stack((radius * angle.cos(), radius * angle.sin()), -1).flatten(-2)


def exact_latents(latents: Tensor | Gaussian) -> Tensor:
    """z in float64 (B, n, latent_dim) on the CPU."""
    if isinstance(latents, Tensor):
        return latents.cpu().double()
    noise = exact_normal(latents.seed, latents.ids, latents.first, latents.n, latents.mu.shape[1])
    return latents.mu.cpu().double()[:, None] + latents.sigma.cpu().double()[:, None] * noise


def exact_logits(base: Tensor, decoder: Decoder, latents: Tensor | Gaussian) -> Tensor:
    """Logits in float64 (B, n, K, P) on the CPU."""
    offset = exact_latents(latents) @ decoder.z_weight.cpu().double().T
    hidden = base.cpu().double()[:, None] + offset[:, :, None]
    for weight, bias in zip(decoder.weights, decoder.biases, strict=True):
        hidden = hidden.relu() @ weight.cpu().double().T + bias.cpu().double()
    return hidden.movedim(-1, -2)


def to_probs(logits: Tensor) -> Tensor:
    return logits.sigmoid() if logits.shape[2] == 1 else logits.softmax(2)


def round_to_tf32(x: Tensor) -> Tensor:
    bits = x.view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


def plain_logits(base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, precision: str) -> Tensor:
    """What plain PyTorch makes of it, float32 (B, n, K, P). CPUs have no TF32: there operands are rounded by hand."""
    if precision != "tf32" or base.is_cuda:
        return decode_samples(base, decoder, latents, output="logits", precision=precision, backend="reference")
    z = exact_latents(latents).float()
    hidden = base[:, None] + (z @ decoder.z_weight.T)[:, :, None]
    for weight, bias in zip(decoder.weights, decoder.biases, strict=True):
        hidden = round_to_tf32(hidden.relu()) @ round_to_tf32(weight).T + bias
    return hidden.movedim(-1, -2)


def check_decode(
    pixels: int, widths: tuple[int, ...], latents: Tensor | Gaussian, precision: str, device: torch.device
) -> None:
    """All four outputs of one problem: floats at most twice as wrong as PyTorch, decisions wrong only within that."""
    images = latents.shape[0] if isinstance(latents, Tensor) else latents.mu.shape[0]
    everywhere = torch.randn(images, max(pixels, MEASURED_PIXELS), widths[0]).to(device)
    base, decoder = everywhere[:, :pixels], random_decoder(widths, device)

    def run(output: str) -> Tensor:
        return decode_samples(base, decoder, latents, output=output, precision=precision, backend="triton").cpu()

    exact = exact_logits(everywhere, decoder, latents)
    plain = plain_logits(everywhere, decoder, latents, precision).cpu()
    truth = exact[..., :pixels]
    allowed = 2 * (plain - exact).abs().max()
    assert (run("logits") - truth).abs().max() <= allowed

    allowed_probs = 2 * (to_probs(plain) - to_probs(exact)).abs().max()
    assert (run("probs") - to_probs(truth)).abs().max() <= allowed_probs

    words = run("bits")
    planes = unpack_bits(words, pixels)  # (B, n, K, P)
    assert torch.equal(pack_bits(planes), words)  # spare bits are 0
    if widths[-1] == 1:
        expected, margin = truth[:, :, 0] > 0, truth[:, :, 0].abs()
        labels_of_bits = planes[:, :, 0].long()
    else:
        top = truth.topk(2, dim=2).values
        expected, margin = truth.argmax(2), (top[:, :, 0] - top[:, :, 1]) / 2
        labels_of_bits = planes.long().argmax(2)
        assert (planes.sum(2) == 1).all()
    for labels in (run("labels"), labels_of_bits):
        assert (margin[labels != expected] <= allowed).all()


@triton.jit
def words_kernel(out_ptr, counters_ptr, seed):
    """out int64 (n, 4): the words for counters int64 (n, 3) of hypothesis, block and image id, one a program."""
    place = counters_ptr + tl.program_id(0) * 3
    lane = tl.zeros([1], tl.int64)
    hypothesis, block, image = tl.load(place + lane), tl.load(place + 1 + lane), tl.load(place + 2 + lane)
    w0, w1, w2, w3 = philox_words(seed, image, hypothesis, block)
    out = out_ptr + tl.program_id(0) * 4 + lane
    tl.store(out, w0.to(tl.int64))
    tl.store(out + 1, w1.to(tl.int64))
    tl.store(out + 2, w2.to(tl.int64))
    tl.store(out + 3, w3.to(tl.int64))


def signed_64(low: int, high: int) -> int:
    value = low | high << 32
    return value - (1 << 64) if value >> 63 else value


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_words_are_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...], device: torch.device
) -> None:
    inputs = torch.tensor([[counter[0], counter[1], signed_64(*counter[2:])]], device=device)
    out = torch.full((1, 4), -1, device=device)
    words_kernel[(1,)](out, inputs, signed_64(*key))
    assert tuple(out[0].tolist()) == words
    assert tuple(int(word) for word in reference.philox_4x32([torch.tensor(c) for c in counter], key)) == words


@pytest.mark.parametrize("backend", ["triton", "reference"])
def test_normals_of_the_zero_counter_are_those_of_the_known_answer(backend: str, device: torch.device) -> None:
    ids = torch.zeros(1, dtype=torch.int64, device=device)
    normals = philox_normal(0, ids, 0, 1, 4, backend=backend).cpu()
    expected = exact_box_muller(torch.tensor(KNOWN_ANSWERS[0][2]))
    torch.testing.assert_close(normals[0, 0], expected.float())


@quick(examples=12)
@given(
    seed=st.sampled_from((0, 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1)) | st.integers(0, 2**63 - 1),
    ids=st.lists(st.sampled_from((0, 2**31, 2**32 - 1, 2**63 - 1)) | st.integers(0, 2**63 - 1), min_size=1, max_size=4),
    first=st.sampled_from((0, 2**31 - 2, 2**32 - 2, 2**40)) | st.integers(0, 2**33),
    n=st.integers(1, 40),
    dim=st.integers(1, 13),
)
def test_noise_equals_the_reference_to_rounding(
    seed: int, ids: list[int], first: int, n: int, dim: int, device: torch.device
) -> None:
    where = torch.tensor(ids, device=device)
    ours = philox_normal(seed, where, first, n, dim, backend="triton").cpu()
    # PyTorch's error is measured on enough numbers to be typical.
    plain = philox_normal(seed, where, first, max(n, 1000), dim, backend="reference").cpu()
    exact = exact_normal(seed, where, first, max(n, 1000), dim)
    assert ours.shape == (len(ids), n, dim)
    assert (ours - exact[:, :n]).abs().max() <= 2 * (plain - exact).abs().max()


def test_noise_far_out_in_the_tail(device: torch.device) -> None:
    many = torch.arange(2**20)
    words = torch.stack(reference.philox_4x32([many, *torch.zeros(3, 1, dtype=torch.int64)], (0, 0)), -1)
    first = int(words[:, 0].argmin())  # the smaller the word, the more its half step counts
    ids = torch.zeros(1, dtype=torch.int64, device=device)
    plain = philox_normal(0, ids, first, 1000, 4, backend="reference").cpu()
    exact = exact_normal(0, ids, first, 1000, 4)
    assert exact[0, 0, :2].norm() > 5
    ours = philox_normal(0, ids, first, 1, 4, backend="triton").cpu()
    assert (ours - exact[:, :1]).abs().max() <= 2 * (plain - exact).abs().max()


def test_noise_of_a_hypothesis_does_not_depend_on_its_neighbours(device: torch.device) -> None:
    ids = torch.tensor([7, 2**63 - 1, 8], device=device)
    many = philox_normal(11, ids, 0, 70, 6, backend="triton")
    few = philox_normal(11, ids[1::2], 65, 3, 6, backend="triton")
    assert torch.equal(few[0], many[1, 65:68])
    assert torch.equal(philox_normal(11, ids, 0, 70, 4, backend="triton"), many[..., :4])


# Pixels, units of each layer with the classes last, images, hypotheses: every depth, width and number of classes once.
PROBLEMS = (
    (1, (16, 1), 1, RUN + 1),
    (31, (32, 3), 2, CHUNK + 1),
    (33, (24, 24, 1), 2, 3),
    (61, (32, 32, 24), 1, 2),
    (127, (32, 32, 32, 1), 2, 3),
    (131, (64, 64, 64, 1), 1, 2),
    (67, (64, 64, 24), 1, 2),
    (37, (16, 48, 24, 32, 3), 1, 2),
    (1023, (32, 32, 32, 32, 1), 1, 1),
)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("pixels", "widths", "images", "n"), PROBLEMS)
def test_decode_drawn_in_the_kernel(
    pixels: int, widths: tuple[int, ...], images: int, n: int, precision: str, device: torch.device
) -> None:
    torch.manual_seed(pixels)
    check_decode(pixels, widths, random_gaussian(images, n, device), precision, device)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("pixels", "widths", "images", "n"), PROBLEMS[1:5])
def test_decode_given_latents(
    pixels: int, widths: tuple[int, ...], images: int, n: int, precision: str, device: torch.device
) -> None:
    torch.manual_seed(pixels)
    check_decode(pixels, widths, torch.randn(images, n, LATENT_DIM).to(device), precision, device)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_decode_with_weights_too_many_to_keep(precision: str, device: torch.device) -> None:
    torch.manual_seed(1)
    check_decode(33, (128, 100, 5), torch.randn(1, 1, LATENT_DIM).to(device), precision, device)


def test_decode_256_classes(device: torch.device) -> None:
    torch.manual_seed(2)
    check_decode(33, (32, 256), random_gaussian(1, 2, device), "ieee", device)


@quick(examples=6)
@given(
    pixels=st.integers(1, 150),
    widths=st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple),
    classes=st.integers(1, 9),
    images=st.integers(1, 2),
    n=st.integers(1, 3),
    drawn=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_decode_any_shape(
    pixels: int,
    widths: tuple[int, ...],
    classes: int,
    images: int,
    n: int,
    drawn: bool,
    seed: int,
    device: torch.device,
) -> None:
    torch.manual_seed(seed)
    latents = random_gaussian(images, n, device) if drawn else torch.randn(images, n, LATENT_DIM).to(device)
    check_decode(pixels, (*widths, classes), latents, "ieee", device)


def test_tuning_measures_equals_and_remembers_the_fastest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torch.manual_seed(8)
    base, decoder = torch.randn(1, 70, 16).to(device), random_decoder((16, 1), device)
    gaussian = random_gaussian(1, 3, device)
    expected = decode_samples(base, decoder, gaussian, backend="triton")
    times = iter(range(99, 0, -1))  # the later, the faster

    def measure(launch: Callable[[], Tensor]) -> float:
        assert torch.equal(launch(), expected)
        return next(times)

    problem = (base, decoder, gaussian, torch.empty_like(expected), "labels", "ieee")
    took = triton_decode.tune_decode(*problem, measure=measure)
    tried = candidates((16, 1), "ieee")
    assert list(took) == tried
    assert len(set(tried)) == len(tried) == 12
    of = (LATENT_DIM, "labels", "ieee", torch.device("cuda"))
    monkeypatch.setattr(tiling, "_key", lambda *of: str(of[:-1]))
    triton_decode.tune_decode(*problem, measure=lambda _: float(next(times)))
    assert find_tiling((16, 1), *of) == tried[-1]
    assert find_tiling((16, 2), *of) == by_rule((16, 2), "ieee")
    (path,) = tmp_path.glob("fastpunet/*")
    tiling._remembered.cache_clear()  # as in another process
    assert find_tiling((16, 1), *of) == tried[-1]
    path.write_text(path.read_text()[:-9])
    tiling._remembered.cache_clear()
    assert find_tiling((16, 1), *of) == by_rule((16, 1), "ieee")


@pytest.mark.gpu
@pytest.mark.slow
def test_a_sampler_tunes_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sampler = Sampler(ProbabilisticUNet(1, 1, channels=(32, 32), latent_dim=6).to(device), precision="bf16")
    image = torch.rand(1, 1, 64, 64, device=device)
    before = sampler.draw(sampler.encode(image), 100, seed=0)
    took = sampler.tune(image, 100)
    assert took["decoding, tuned"] <= took["decoding"]
    assert (sampler.draw(sampler.encode(image), 100, seed=0) != before).float().mean() < 1e-3
    assert len(list(tmp_path.glob("fastpunet/tilings.json"))) == 1


def test_many_random_problems_equal_the_reference(device: torch.device) -> None:
    """A thousand on a GPU, where each takes milliseconds; widths are few, for each is compiled anew."""
    rng = random.Random(0)
    decoders = [random_decoder(widths, device) for widths in ((32, 32, 32, 1), (32, 24, 5), (16, 1))]
    for _ in range(1000 if device.type == "cuda" else 6):
        decoder, largest = rng.choice(decoders), 4000 if device.type == "cuda" else 150
        images, pixels, n = rng.randint(1, 3), rng.randint(1, largest), rng.randint(1, largest // 20)
        base = torch.randn(images, pixels, decoder.z_weight.shape[0], device=device)
        z, output = torch.randn(images, n, LATENT_DIM, device=device), rng.choice(OUTPUTS)
        ours, plain = (decode_samples(base, decoder, z, output=output, backend=b) for b in ("triton", "reference"))
        problem = (images, pixels, n, output, rng.getstate()[1][-1])
        if output in ("logits", "probs"):
            torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4, msg=str(problem))
        else:
            wrong = ours != plain if output == "labels" else unpack_bits(ours ^ plain, pixels)
            assert wrong.sum() <= 1 + 1e-4 * wrong.numel(), problem


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("pixels", "widths", "images", "n"), [*PROBLEMS[:5], (40, (128, 100, 5), 1, 2)])
def test_sums_are_those_of_the_hypotheses(
    pixels: int, widths: tuple[int, ...], images: int, n: int, precision: str, device: torch.device
) -> None:
    torch.manual_seed(pixels)
    base, decoder = torch.randn(images, pixels, widths[0]).to(device), random_decoder(widths, device)
    base[0, : pixels // 4] *= 1e4  # logits far from zero: probabilities 0 and 1, no entropy
    z = torch.randn(images, n, LATENT_DIM).to(device)
    options = {"precision": precision, "backend": "triton"}
    sums = decode_sums(base, decoder, z, **options)
    logits = decode_samples(base, decoder, z, output="logits", **options).double()
    probs = to_probs(logits)
    each = torch.cat((1 - probs, probs), 2) if widths[-1] == 1 else probs
    torch.testing.assert_close(sums.probability, probs.sum(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.entropy, torch.special.entr(each).sum((1, 2)), rtol=1e-5, atol=1e-5)
    planes = unpack_bits(decode_samples(base, decoder, z, output="bits", **options), pixels)
    assert torch.equal(sums.volume, planes.long().sum(3))
    assert [part.dtype for part in sums] == [torch.float64, torch.float64, torch.int64]


def test_sums_in_fewer_runs_are_the_same(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    """As for large images, whose sums would take too much memory if each RUN hypotheses had some of their own."""
    torch.manual_seed(5)
    base, decoder = torch.randn(1, 33, 16).to(device), random_decoder((16, 2), device)
    z = torch.randn(1, 2 * RUN + 1, LATENT_DIM).to(device)
    many = decode_sums(base, decoder, z, backend="triton")
    monkeypatch.setattr(triton_decode, "PARTIAL_SUMS", 2 * 3 * 33)
    few = decode_sums(base, decoder, z, backend="triton")
    for one, other in zip(many, few, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("widths", [(32, 1), (32, 16, 3)])
def test_every_element_of_the_output_is_written_and_nothing_beside_it(
    output: str, widths: tuple[int, ...], device: torch.device
) -> None:
    torch.manual_seed(3)
    pixels, n = 135, 3
    base, decoder = torch.randn(2, pixels, 32).to(device), random_decoder(widths, device)
    gaussian = random_gaussian(2, n, device)
    expected = decode_samples(base, decoder, gaussian, output=output, backend="triton")
    poisons = (math.nan, math.inf) if expected.is_floating_point() else (255, 90)
    for poison in poisons:
        around = torch.full((*(size + 3 for size in expected.shape[:-1]), expected.shape[-1] + 40), poison)
        around = around.to(device, expected.dtype)
        inside = tuple(slice(1, 1 + size) for size in expected.shape)
        untouched = torch.ones_like(around, dtype=torch.bool)
        untouched[inside] = False
        before = around.clone()
        returned = launch_decode(base, decoder, gaussian, around[inside], output, "ieee")
        assert torch.equal(returned, expected)
        assert torch.equal(around[inside], expected)
        assert torch.equal(around[untouched].view(torch.uint8), before[untouched].view(torch.uint8))


def test_inputs_need_not_be_contiguous(device: torch.device) -> None:
    torch.manual_seed(4)
    base = torch.randn(2, 24, 45).to(device).mT
    decoder = random_decoder((24, 20, 1), device)
    whole_first_layer = torch.cat((torch.randn(24, 24).to(device), decoder.z_weight), dim=1)
    strided = Decoder(
        whole_first_layer[:, 24:],
        [weight.T.contiguous().T for weight in decoder.weights],
        [bias.repeat_interleave(2)[::2] for bias in decoder.biases],
    )
    z = torch.randn(2, LATENT_DIM, 5).to(device).mT
    ids, mu = torch.tensor([4, 0, 9, 0], device=device)[::2], torch.randn(1, LATENT_DIM).to(device).expand(2, -1)
    for latents, plain_latents in (
        (z, z.contiguous()),
        (Gaussian(mu, mu.exp(), ids, 1, 0, 3), Gaussian(mu.contiguous(), mu.exp(), ids.contiguous(), 1, 0, 3)),
    ):
        result = decode_samples(base, strided, latents, output="logits", backend="triton")
        plain = decode_samples(base.contiguous(), decoder, plain_latents, output="logits", backend="triton")
        assert torch.equal(result, plain)


@pytest.mark.parametrize("classes", [1, 3])
def test_hypotheses_do_not_depend_on_how_many_are_drawn(classes: int, device: torch.device) -> None:
    torch.manual_seed(5)
    base, decoder = torch.randn(1, 40, 32).to(device), random_decoder((32, 16, classes), device)
    gaussian = random_gaussian(1, RUN + 3, device, first=0)
    many = decode_samples(base, decoder, gaussian, output="labels", backend="triton")
    few = decode_samples(base, decoder, gaussian._replace(first=RUN - 1, n=3), output="labels", backend="triton")
    assert torch.equal(few, many[:, RUN - 1 : RUN + 2])


@pytest.mark.parametrize("classes", [1, 3, 24])
def test_ties_go_to_the_first_class_and_zero_is_background(classes: int, device: torch.device) -> None:
    decoder = random_decoder((16, classes), device)
    level = 0.0 if classes == 1 else -1.0  # below the zeros that pad the classes
    tied = decoder._replace(
        weights=[torch.zeros(classes, 16).to(device)], biases=[torch.full((classes,), level).to(device)]
    )
    base, z = torch.randn(1, 40, 16).to(device), torch.randn(1, 2, LATENT_DIM).to(device)
    assert not decode_samples(base, tied, z, output="labels", backend="triton").any()
    for output in OUTPUTS:
        ours = decode_samples(base, tied, z, output=output, backend="triton")
        torch.testing.assert_close(ours, decode_samples(base, tied, z, output=output, backend="reference"))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("classes", [1, 3])
def test_nan_features_stay_nan_where_they_are(classes: int, precision: str, device: torch.device) -> None:
    torch.manual_seed(6)
    base, decoder = torch.randn(1, 40, 32).to(device), random_decoder((32, 20, classes), device)
    base[0, 7, 3] = math.nan
    z = torch.randn(1, 2, LATENT_DIM).to(device)
    logits = decode_samples(base, decoder, z, output="logits", precision=precision, backend="triton")
    assert logits[..., 7].isnan().all()
    assert not logits[..., torch.arange(40) != 7].isnan().any()
    labels = decode_samples(base, decoder, z, output="labels", precision=precision, backend="triton")
    assert not labels[..., 7].any()  # as torch: NaN > 0 is false, and argmax finds the first NaN


@pytest.mark.parametrize("classes", [1, 3])
def test_sampling_gives_the_same_hypotheses_on_every_backend(classes: int, device: torch.device) -> None:
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, classes, channels=(8, 12), latent_dim=3).to(device).eval()
    images, ids = torch.rand(2, 1, 9, 13, device=device), torch.tensor([5, 2**40])
    backends = [b for b in BACKENDS[1:] if why_unavailable(b, device) is None]
    logits, bits = (
        [sample(model, images, 6, seed=1, ids=ids, output=o, precision="ieee", backend=b) for b in backends]
        for o in ("logits", "bits")
    )
    assert len(backends) >= 2
    for other in range(1, len(backends)):
        torch.testing.assert_close(logits[0], logits[other], rtol=1e-5, atol=1e-6)
        assert (bits[0].unpack() != bits[other].unpack()).float().mean() <= 1e-4


@pytest.mark.parametrize("weights", ["lesions", "lidc-tiny"])
def test_a_gpu_draws_what_the_cpu_draws(weights: str, device: torch.device) -> None:
    """Of trained weights, at float32's accuracy: at most one pixel in ten thousand is decided otherwise."""
    model, records = load(weights), SyntheticLesions(2, seed=3)
    images = torch.stack([torch.from_numpy(record.image) for record in records])
    theirs = sample(model, images, 4, seed=5, precision="ieee", backend="reference")
    assert 0 < theirs.float().mean() < 1
    ours = sample(model.to(device), images.to(device), 4, seed=5, precision="ieee", backend="triton").cpu()
    assert (ours != theirs).float().mean() <= 1e-4


@pytest.mark.gpu
def test_outputs_beyond_two_to_the_31_elements(device: torch.device) -> None:
    torch.manual_seed(7)
    pixels = 2**17 + 3
    n = 2**31 // pixels + 3
    base, decoder = torch.randn(1, pixels, 16).to(device), random_decoder((16, 1), device)
    gaussian = random_gaussian(1, n, device, first=0)
    many = decode_samples(base, decoder, gaussian, output="labels", backend="triton")
    last = decode_samples(base, decoder, gaussian._replace(first=n - 2, n=2), output="labels", backend="triton")
    assert many.numel() > 2**31
    assert torch.equal(many[:, -2:], last)


def test_registration(device: torch.device) -> None:
    base, decoder = torch.randn(1, 33, 16).to(device), random_decoder((16, 3), device)
    gaussian = random_gaussian(1, 2, device)
    z = torch.randn(1, 2, LATENT_DIM).to(device)
    masks = pack_bits(torch.rand(1, 2, 1, 90) > 0.5).to(device)
    ops = torch.ops.fastpunet
    torch.library.opcheck(ops.philox_normal.default, (1, gaussian.ids, 0, 3, 6, "triton"))
    torch.library.opcheck(ops.decode_latents.default, (base, *decoder, z, "bits", "ieee", "triton"))
    torch.library.opcheck(ops.decode_gaussian.default, (base, *decoder, *gaussian, "labels", "ieee", "triton"))
    torch.library.opcheck(ops.pairwise_intersection.default, (masks, masks.clone(), "triton"))
