"""Sums over any number of hypotheses: programs sum short runs in float32, which are added up in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
import triton
from torch import Tensor

PARTIAL_SUMS = 1 << 24  # floats of all programs' sums together, or as few as one program a tile of pixels has
LONGEST = 256  # hypotheses of a program, where memory asks for more than a tiling does: float32 errs by 4e-6 of the sum

Outs = tuple[Tensor, Tensor, Tensor]  # probability (B, runs, K, P), entropy (B, runs, P), volume int64 (B, n, K)


def sum_hypotheses(
    launch: Callable[[slice, int, Outs], None], like: Tensor, sizes: tuple[int, int, int, int], run: int
) -> Outs:
    """Probability float64 (B, K, P), entropy float64 (B, P) and volumes int64 (B, n, K), where sizes are B, n, K and P.

    launch(some, run, outs) sums some of the hypotheses, in runs of `run` each, and adds to volumes that are 0. These
    sums are added up in float64, always in the same order. like: a tensor on the device, float32.
    """
    images, n, classes, pixels = sizes
    numbers = max(1, images * (classes + 1) * pixels)
    while run < min(n, LONGEST) and numbers * triton.cdiv(n, run) > PARTIAL_SUMS:
        run *= 2
    together = run * max(1, PARTIAL_SUMS // numbers)
    probability = like.new_zeros((images, classes, pixels), dtype=torch.float64)
    entropy = like.new_zeros((images, pixels), dtype=torch.float64)
    volume = like.new_zeros((images, n, classes), dtype=torch.int64)
    for first in range(0, n, together):
        some = slice(first, min(first + together, n))
        runs = triton.cdiv(some.stop - first, run)
        outs = (
            like.new_empty((images, runs, classes, pixels)),
            like.new_empty((images, runs, pixels)),
            like.new_zeros((images, some.stop - first, classes), dtype=torch.int64),
        )
        launch(some, run, outs)
        probability += outs[0].sum(1, dtype=torch.float64)
        entropy += outs[1].sum(1, dtype=torch.float64)
        volume[:, some] = outs[2]
    return probability, entropy, volume
