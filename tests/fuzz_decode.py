"""Random decoding problems, on every backend and instruction set of this machine, against float64.

    python -m tests.fuzz_decode --problems 20000 --seed 0

Widths 1 to 130, two to six layers, 1 to 256 classes, any sizes and strides, weights of ordinary and of absurd
scales, all outputs and the sums. A problem is wrong if a label differs from float64's by more than rounding
explains, if the error exceeds the limit below, if outputs contradict each other, if a hypothesis changes one bit
with n, chunk, batch or `first`, or if one backend refuses a problem (for overflow) that another takes. Each is a
function of (seed, index) alone; `--start INDEX --problems 1` repeats it. The exit status is 1 if any is wrong.

The limit is twice the largest error of plain PyTorch (the reference, in the same precision, over at least 1024
pixels and hypotheses). Networks with layers of one or two units, or of absurd scales, have so few different errors
that PyTorch's may be small by accident; there the limit is twice what one rounding of every operand and result can
add up to.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from fastpunet_kernels import Decoder, Gaussian, Sums, decode_samples, decode_sums, reference, why_unavailable
from fastpunet_kernels.native import launch

MEASURED_PIXELS = 1024  # plain PyTorch's error is a maximum over at least so many, so that it is no accident
MOST_MULTIPLY_ADDS = 6e6  # of one problem and pass


class Problem(NamedTuple):
    everywhere: Tensor  # base (B, P or more, h)
    pixels: int
    decoder: Decoder
    z: Tensor  # (B, n, latent_dim)
    recipe: Gaussian
    precision: str

    @property
    def base(self) -> Tensor:
        return self.everywhere[:, : self.pixels]


def random_problem(seed: int, index: int) -> Problem:
    rng = random.Random(f"{seed} {index}")
    generator = torch.Generator().manual_seed(rng.getrandbits(62))

    def wide(most: int) -> int:
        return min(most, int((most + 1) ** rng.random()))

    def normal(*size: int, scale: float = 1.0) -> Tensor:
        return _laid_out(torch.randn(size, generator=generator) * scale, rng)

    widths = [wide(130) for _ in range(rng.randint(1, 5))]
    classes = 1 if rng.random() < 0.4 else wide(256)
    latent_dim, images, n = rng.randint(1, 16), rng.randint(1, 3), rng.choice((1, 2, 3, 4, 7, 16, 33))
    sizes = [*widths, classes]
    pixels = rng.choice((1, 31, 32, 33, 47, 48, 49, 64, 96, 97, wide(900)))
    pixels = max(1, min(pixels, int(MOST_MULTIPLY_ADDS / (images * n * sum(a * b for a, b in pairwise(sizes))))))
    absurdity = rng.choices((0, 1, 4), (80, 17, 3))[0]  # layers of very different scales, some of which overflow

    def scale(spread: float) -> float:
        return 10 ** (absurdity * rng.uniform(-spread, spread))

    weights = [normal(out, ins, scale=scale(7) * (2 / ins) ** 0.5) for ins, out in pairwise(sizes)]
    biases = [normal(out, scale=scale(4) / 4) for out in sizes[1:]]
    decoder = Decoder(normal(widths[0], latent_dim, scale=scale(3)), weights, biases)
    everywhere = normal(images, max(pixels, MEASURED_PIXELS // n), widths[0], scale=scale(3))
    mu, sigma = normal(images, latent_dim), normal(images, latent_dim).exp()
    ids = torch.randint(0, 2**62, (images,), generator=generator)
    recipe = Gaussian(mu, sigma, ids, rng.getrandbits(63), rng.choice((0, 1, 1000)), n)
    return Problem(everywhere, pixels, decoder, normal(images, n, latent_dim), recipe, rng.choice(("ieee", "bf16")))


def _laid_out(tensor: Tensor, rng: random.Random) -> Tensor:
    """The same values: as they are, four bytes off, with gaps, or with the last two dimensions stored in turn."""
    kind = rng.randrange(4)
    if kind == 1:
        return torch.empty(tensor.numel() + 1)[1:].view(tensor.shape).copy_(tensor)
    if kind == 2:
        return torch.stack((tensor, torch.full_like(tensor, 7.0)), dim=-1)[..., 0]
    if kind == 3 and tensor.ndim > 1:
        return tensor.mT.contiguous().mT
    return tensor


def exact_logits(base: Tensor, decoder: Decoder, z: Tensor) -> Tensor:
    """float64 (B, n, K, P)."""
    hidden = base.double()[:, None] + (z.double() @ decoder.z_weight.double().T)[:, :, None]
    for weight, bias in zip(decoder.weights, decoder.biases, strict=True):
        hidden = hidden.relu() @ weight.double().T + bias.double()
    return hidden.movedim(-1, -2)


def _probs(logits: Tensor) -> Tensor:
    return logits.sigmoid() if logits.shape[2] == 1 else logits.softmax(2)


def _labels(logits: Tensor) -> Tensor:
    return (logits[:, :, 0] > 0).to(torch.uint8) if logits.shape[2] == 1 else logits.argmax(2).to(torch.uint8)


def _margin(logits: Tensor) -> Tensor:
    """How much error a pixel's decision bears, (B, n, P)."""
    if logits.shape[2] == 1:
        return logits[:, :, 0].abs()
    first, second = logits.topk(2, dim=2).values.unbind(2)
    return (first - second) / 2


class Limits(NamedTuple):
    exact: Tensor
    logits: float
    probs: float


def rounding_error(base: Tensor, decoder: Decoder, z: Tensor, unit: float) -> float:
    """What one relative error of `unit` in every operand and every result adds up to, at most, in the logits."""
    shared = base.double()[:, None]
    offset = (z.double() @ decoder.z_weight.double().T)[:, :, None]
    size = (z.double().abs() @ decoder.z_weight.double().abs().T)[:, :, None]
    hidden, error = shared + offset, unit * (shared.abs() + 2 * size)
    for weight, bias in zip(decoder.weights, decoder.biases, strict=True):
        matrix = weight.double().T
        operand, error = hidden.relu(), error + unit * hidden.relu()
        products = operand @ matrix.abs() + bias.double().abs()
        hidden, error = operand @ matrix + bias.double(), error @ matrix.abs() + 2 * unit * products
    return float(error.max())


def limits(problem: Problem) -> Limits:
    inputs = problem.everywhere, problem.decoder, problem.z
    plain = decode_samples(*inputs, output="logits", precision=problem.precision, backend="reference")
    exact = exact_logits(*inputs)
    unit = 2.0**-9 if problem.precision == "bf16" else 2.0**-24
    accident = rounding_error(*inputs, unit)
    return Limits(
        exact[..., : problem.pixels],
        2 * max(float((plain - exact).abs().max()), accident),
        2 * max(float((_probs(plain) - _probs(exact)).abs().max()), min(1.0, accident) / 2, 2.0**-24),
    )


def faults(problem: Problem, limit: Limits, backend: str) -> Iterator[str]:
    """What is wrong with one backend's answers."""
    base, decoder, z, classes = problem.base, problem.decoder, problem.z, problem.decoder.weights[-1].shape[0]

    def decode(output: str, images: slice = slice(None), hypotheses: slice = slice(None)) -> Tensor:
        latents = z[images, hypotheses]
        return decode_samples(
            base[images], decoder, latents, output=output, precision=problem.precision, backend=backend
        )

    logits, probs, labels, bits = (decode(output) for output in ("logits", "probs", "labels", "bits"))
    if not (error := float((logits - limit.exact).abs().max())) <= limit.logits:
        yield f"logits: error {error:.3g}, limit {limit.logits:.3g}"
    if not (error := float((probs - _probs(limit.exact)).abs().max())) <= limit.probs:
        yield f"probs: error {error:.3g}, limit {limit.probs:.3g}"
    differ = labels != _labels(limit.exact)
    if (_margin(limit.exact)[differ] > limit.logits).any():
        yield "labels: a wrong one"
    if not torch.equal(labels, _labels(logits)):
        yield "labels: not those of the logits"
    if not torch.equal(bits, reference.pack_labels(labels, [1] if classes == 1 else range(classes))):
        yield "bits: not those of the labels"
    yield from _sums_faults(problem, logits, labels, backend)

    image, first = z.shape[0] - 1, z.shape[1] // 2
    one, part = slice(image, image + 1), slice(first, first + 1)
    for name, output, whole in (("logits", "logits", logits), ("probs", "probs", probs), ("bits", "bits", bits)):
        if not torch.equal(decode(output, one, part), whole[one, part]):
            yield f"{name}: another one alone than among others"
    yield from _recipe_faults(problem, backend, one, part)


def _sums_faults(problem: Problem, logits: Tensor, labels: Tensor, backend: str) -> Iterator[str]:
    sums = decode_sums(problem.base, problem.decoder, problem.z, precision=problem.precision, backend=backend)
    wanted: Sums = reference.sums_of_logits(logits.double())
    if not torch.allclose(sums.probability, wanted.probability, rtol=1e-5, atol=1e-5):
        yield "sums: another probability"
    if not torch.allclose(sums.entropy, wanted.entropy, rtol=1e-5, atol=2e-5):
        yield "sums: another entropy"
    classes = logits.shape[2]
    volume = torch.stack([(labels == c).sum(2) for c in ([1] if classes == 1 else range(classes))], dim=2)
    if not torch.equal(sums.volume, volume):
        yield "sums: other volumes"


def _recipe_faults(problem: Problem, backend: str, one: slice, part: slice) -> Iterator[str]:
    mu, sigma, ids, seed, first, n = problem.recipe

    def decode(base: Tensor, recipe: Gaussian) -> Tensor:
        options = {"precision": problem.precision, "backend": backend}
        return decode_samples(base, problem.decoder, recipe, output="logits", **options)

    many = decode(problem.base, problem.recipe)
    alone = Gaussian(mu[one], sigma[one], ids[one], seed, first + part.start, 1)
    if not torch.equal(decode(problem.base[one], alone), many[one, part]):
        yield "drawn: another one alone than among others"
    if not torch.equal(decode(problem.base, problem.recipe._replace(n=(n + 1) // 2)), many[:, : (n + 1) // 2]):
        yield "drawn: another one with fewer after it"


@contextmanager
def _capability(index: int) -> Iterator[None]:
    before = launch.capability
    launch.capability = lambda: index  # type: ignore[assignment]
    try:
        yield
    finally:
        launch.capability = before


def variants() -> list[tuple[str, str, int]]:
    """(name, backend, instruction set) of all that runs here as compiled code."""
    found = [("reference", "reference", 0)]
    if why_unavailable("native", torch.device("cpu")) is None:
        names = launch.kernels.CAPABILITIES[: launch.capability() + 1]
        found += [(name, "native", index) for index, name in enumerate(names)]
    return found


def check(problem: Problem) -> tuple[bool, list[str]]:
    """Whether the problem was refused, and what is wrong."""
    try:
        limit = limits(problem)
    except ValueError as refusal:
        return True, [
            f"{name}: takes what the reference refuses ({refusal})" for name, *_ in _that_take(problem, str(refusal))
        ]
    wrong = []
    for name, backend, index in variants():
        with _capability(index):
            try:
                wrong += [f"{name}: {fault}" for fault in faults(problem, limit, backend)]
            except ValueError as error:
                wrong.append(f"{name}: {error}")
    return False, wrong


def _that_take(problem: Problem, refusal: str) -> Iterator[tuple[str, str, int]]:
    """The variants that do not refuse the problem in these words."""
    for variant in variants():
        with _capability(variant[2]):
            try:
                decode_samples(
                    problem.everywhere, problem.decoder, problem.z, precision=problem.precision, backend=variant[1]
                )
            except ValueError as error:
                if str(error) == refusal:
                    continue
            yield variant


def fuzz(problems: int, seed: int, start: int = 0, report: Callable[[str], None] = print) -> int:
    """Check so many problems; returns how many are wrong."""
    wrong = refused = 0
    begun = last = time.monotonic()
    for index in range(start, start + problems):
        problem = random_problem(seed, index)
        was_refused, found = check(problem)
        refused += was_refused
        wrong += bool(found)
        for fault in found:
            report(f"problem {index}: {_describe(problem)}: {fault}")
        if time.monotonic() - last > 60:
            last = time.monotonic()
            report(f"{index + 1 - start} problems, {refused} refused, {wrong} wrong, {last - begun:.0f} s")
    names = ", ".join(name for name, *_ in variants())
    report(f"{problems} problems (seed {seed}) on {names}: {wrong} wrong; {refused} refused for overflow by all alike")
    return wrong


def _describe(problem: Problem) -> str:
    sizes = [problem.base.shape[2], *(len(bias) for bias in problem.decoder.biases)]
    return f"{problem.precision}, {'-'.join(map(str, sizes))}, z {tuple(problem.z.shape)}, {problem.pixels} pixels"


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="index of the first problem")
    options = parser.parse_args()
    return int(fuzz(options.problems, options.seed, options.start) > 0)


if __name__ == "__main__":
    sys.exit(main())
