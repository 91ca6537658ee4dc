"""Random binary decoding problems for pruning, decoded with the native kernels with and without bounds.

    python -m tests.fuzz_pruning --problems 2000 --seed 0

compares every bit on all instruction sets of this machine. Models: the shipped ones, those in checkpoints/ and random
layers, of ordinary and of absurd scales; images: synthetic lesions, noise and constants; any n, seed and precision.
Each problem is a function of (seed, index) alone. The exit status is 1 if a bit differs.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet_kernels import Decoder
from fastpunet_kernels.native import launch
from fastpunet_kernels.problem import empty_output

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints" / "lidc-tiny"
NAMES = ["lesions", *sorted(map(str, CHECKPOINTS.glob("Probabilistic-U-Net*.safetensors")))]


class Problem(NamedTuple):
    base: Tensor  # (1, P, h)
    decoder: Decoder
    z: Tensor  # (1, n, latent_dim)


@cache
def _sampler(name: str) -> fastpunet.Sampler:
    return fastpunet.Sampler(fastpunet.load(name), precision="ieee")


def model_problem(rng: random.Random) -> Problem:
    """A trained model and an image."""
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    kind, size = rng.choice(("lesion", "lesion", "noise", "constant")), rng.choice((24, 33, 64, 72))
    image = torch.rand(1, 1, size, size, generator=generator)
    if kind == "lesion":
        image = torch.as_tensor(SyntheticLesions(1, seed=rng.getrandbits(30))[0].image)[None]
    elif kind == "constant":
        image = torch.full_like(image, rng.random())
    sampler = _sampler(rng.choice(NAMES))
    encoding = sampler.encode(image)
    n = rng.choice((1, 7, 64, 100, 333, 700))
    noise = torch.randn(1, n, encoding.prior.mu.shape[1], generator=generator)
    z = encoding.prior.mu[:, None] + encoding.prior.sigma[:, None] * noise
    return Problem(encoding.base, encoding.decoder, z)


def layers_problem(rng: random.Random) -> Problem:
    """Random layers, whose logits are close to zero, far from it, or as small as float32 can hold."""
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    widths = [rng.choice((1, 2, 3, 5, 8, 16, 17, 32, 40)) for _ in range(rng.randint(1, 4))]
    scales = [10 ** rng.uniform(-12, 12) if rng.random() < 0.3 else 1.0 for _ in range(len(widths) + 2)]
    pixels, n = rng.choice((1, 31, 49, 97, 600, 4096, 4133)), rng.choice((1, 2, 9, 40, 150))
    size, weights, biases = scales[0], [], []
    for (ins, outs), scale in zip(zip(widths, [*widths[1:], 1], strict=True), scales[1:], strict=False):
        size *= scale
        weights.append(torch.randn(outs, ins, generator=generator) * scale)
        biases.append(torch.randn(outs, generator=generator) * size)
    spread = scales[0] * 10 ** rng.uniform(-8, 0)
    latent_dim = rng.randint(1, 8)
    z_weight = torch.randn(widths[0], latent_dim, generator=generator) * spread
    base = torch.randn(1, pixels, widths[0], generator=generator) * scales[0]
    if rng.random() < 0.3:  # near ties: no bias, and a base of few different pixels
        biases = [torch.zeros_like(bias) for bias in biases]
        base = base[:, torch.randint(min(pixels, 5), (pixels,), generator=generator)]
    if rng.random() < 0.2:  # subnormal logits
        weights[-1] = weights[-1] * (1e-41 / size)
        biases[-1] = biases[-1] * (1e-41 / size)
    return Problem(base, Decoder(z_weight, weights, biases), torch.randn(1, n, latent_dim, generator=generator))


def random_problem(seed: int, index: int) -> tuple[Problem, random.Random]:
    rng = random.Random(f"{seed} {index}")
    return (model_problem if rng.random() < 0.5 else layers_problem)(rng), rng


def decoded(
    problem: Problem, levels: list[int] | None, capability: int, output: str, precision: str, threads: int = 1
) -> tuple[Tensor, list[list[int]]]:
    """The output, and the levels of groups whose bounds were computed, of each image."""
    base, decoder, z = problem
    out = empty_output(base, z.shape[1], 1, output).zero_()
    arrays = [part.contiguous().numpy() for part in (base, z, decoder.z_weight)]
    layers = [[part.contiguous().numpy() for part in parts] for parts in (decoder.weights, decoder.biases)]
    chosen = launch.kernels.decode(*arrays, *layers, out.numpy(), output, precision, levels, None, capability, threads)
    return out, chosen


def differences(problem: Problem, rng: random.Random) -> Iterator[str]:
    """What bounds change: nothing, or the name of each variant whose bits they change."""
    most = max(1, problem.z.shape[1].bit_length())
    levels = sorted(rng.sample(range(most), rng.randint(1, min(3, most))))
    output = rng.choice(("bits", "labels"))
    for capability in range(launch.capability() + 1):
        for precision in ("ieee", "bf16"):
            try:
                dense, _ = decoded(problem, [], capability, output, precision)
            except ValueError:
                continue  # numbers that overflow are refused with bounds and without
            for tried in (levels, None):
                if not torch.equal(decoded(problem, tried, capability, output, precision)[0], dense):
                    yield f"{launch.kernels.CAPABILITIES[capability]} {precision} {output} levels {tried}"


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="index of the first problem")
    options = parser.parse_args()
    wrong = 0
    for index in range(options.start, options.start + options.problems):
        problem, rng = random_problem(options.seed, index)
        for found in differences(problem, rng):
            wrong += 1
            print(f"problem {index}: other bits: {found}", flush=True)
        if index % 200 == 199:
            print(f"{index + 1} problems, {wrong} wrong", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
