"""Estimates the time and memory of scoring many hypotheses before the work starts."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import torch

from fastpunet.data import Record
from fastpunet.memory import free_memory
from fastpunet.progress import duration
from fastpunet_kernels import distance_sums

_TRIAL = 1024  # number of hypotheses that are compared to measure how long a comparison takes
_WORTH_SAYING = 20.0  # seconds


def check_cost(
    n: int,
    record: Record,
    num_classes: int,
    images: int,
    device: torch.device,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
) -> None:
    """Tell the user, before work starts, how long the comparison of n hypotheses of each image takes, if it is long.

    record: one of the data set's images. Raises ValueError if the hypotheses of one image do not fit in memory.
    """
    pixels = math.prod(record.image.shape[1:])
    words = math.ceil(pixels / 32)
    needed, free = 2 * 4 * n * num_classes * words + 64 * n, free_memory(device)
    if needed > free:
        raise ValueError(
            f"n: got {n}; scoring {n} hypotheses of one image of {pixels} pixels takes {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free; use n up to {n * free // (2 * needed)}"
        )
    if n > _TRIAL and (each := (n / _TRIAL) ** 2 * _trial(num_classes, words, device)) * images > _WORTH_SAYING:
        say(
            f"n = {n}: comparing every two hypotheses of an image takes up to {duration(each)}, for {images} images "
            f"{duration(each * images)}; the time grows with the square of n"
        )


def _trial(num_classes: int, words: int, device: torch.device) -> float:
    """Seconds for comparing `_TRIAL` hypotheses with each other, the shortest of three runs.

    They are noise: of hypotheses that are alike the CPU compares less.
    """
    masks = torch.randint(-(2**31), 2**31 - 1, (1, _TRIAL, num_classes, words), dtype=torch.int32, device=device)
    weights = torch.ones(1, _TRIAL, dtype=torch.float64, device=device)
    return min(_seconds(lambda: distance_sums(masks, masks, weights, weights, 1.0).cpu()) for _ in range(3))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
