"""Random sets of masks, on every instruction set of this machine: the sums over pairs that are sorted, merged and
compared in blocks against those of every pair for itself, which must be the same to the last bit.

    python -m tests.fuzz_distances --problems 10000 --seed 0

256 to 400 masks of 1 to 400 pixels and 1 to 4 classes: noise, level sets of one score, discs, copies of a few masks,
empty and full ones, shuffled; with equal weights, random ones, some of them 0, and every convention about empty masks.
Each problem is a function of (seed, index) alone; `--start INDEX --problems 1` repeats it. The exit status is 1 if any
is wrong.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from fastpunet_kernels import distance_sums, pack_bits
from fastpunet_kernels.native import launch


class Problem(NamedTuple):
    masks: Tensor  # packed (1, n, K, words)
    weights: Tensor  # (1, n)
    empty: float


def random_problem(seed: int, index: int) -> Problem:
    rng = random.Random(f"{seed} {index}")
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    n, pixels, classes = rng.randint(256, 400), int(401 ** rng.random()), rng.choice((1, 1, 1, 2, 4))
    planes = [_masks(rng.choice(_KINDS), n, pixels, generator) for _ in range(classes)]
    masks = pack_bits(torch.stack(planes, dim=1)[torch.randperm(n, generator=generator)][None])
    weights = torch.ones(1, n, dtype=torch.float64)
    if rng.random() < 0.4:
        weights = torch.rand(1, n, generator=generator, dtype=torch.float64) ** rng.choice((1, 8))
        weights = rng.choice((weights, (weights * 3).floor() / 3))  # few different ones, 0 among them
    return Problem(masks, weights, rng.choice((1.0, 0.0, 0.5, math.nan)))


_KINDS = ("noise", "levels", "rough levels", "discs", "copies", "constant")


def _masks(kind: str, n: int, pixels: int, generator: torch.Generator) -> Tensor:
    """bool (n, pixels)"""

    def uniform(*size: int) -> Tensor:
        return torch.rand(size, generator=generator)

    if kind == "noise":
        return uniform(n, pixels) < uniform(n, 1)
    if kind.endswith("levels"):
        return uniform(pixels) + (0.1 * uniform(n, pixels) if kind[0] == "r" else 0) < 1.2 * uniform(n, 1) - 0.1
    if kind == "discs":
        return (torch.arange(pixels) / pixels - uniform(n, 1)).abs() < 0.3 * uniform(n, 1)
    if kind == "copies":
        return (uniform(9, pixels) < 0.4)[torch.randint(9, (n,), generator=generator)]
    return (uniform(n, 1) < uniform(1)).expand(n, pixels)


def wrong(problem: Problem) -> list[str]:
    """The instruction sets whose sums differ from those of all pairs."""
    masks, weights, empty = problem
    found = []
    best = launch.capability
    for index, name in enumerate(launch.kernels.CAPABILITIES[: best() + 1]):
        try:
            launch.capability = lambda index=index: index  # type: ignore[assignment,misc]
            itself = distance_sums(masks, masks, weights, weights, empty, backend="native")
            copies = distance_sums(masks, masks.clone(), weights, weights.clone(), empty, backend="native")
        finally:
            launch.capability = best
        if not torch.equal(itself, copies):
            found.append(f"{name}: {itself.tolist()} instead of {copies.tolist()}")
    return found


def fuzz(problems: int, seed: int = 0, start: int = 0, report: Callable[[str], object] = print) -> int:
    """The number of problems that are wrong."""
    bad = 0
    for index in range(start, start + problems):
        for text in wrong(random_problem(seed, index)):
            report(f"problem {index} of seed {seed}, {text}")
            bad += 1
    return bad


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    for name, default in (("problems", 10_000), ("seed", 0), ("start", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    bad = fuzz(options.problems, options.seed, options.start)
    print(f"{options.problems} problems, {bad} wrong")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
