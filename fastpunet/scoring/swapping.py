"""A test that needs no distribution: under equality, two methods could be swapped for any patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.scoring.jackknife import patient_sums

Array = NDArray[np.float64]
EXACT = 13  # up to as many patients all swaps are made
_SWAPS = 9999
_ROUNDING = 1e-12
_AT_A_TIME = 1 << 20  # numbers


def swap_p_value(a: Array, b: Array, groups: NDArray[Any], combine: Callable[[Array], Array], seed: int = 0) -> float:
    """The share of swaps of a and b, patient by patient, after which they differ as much as they do or more.

    a, b     summands (images, k) of a score, which combine turns into the score; groups: the patient of each image
    combine  as `Statistic.of_sums`. Of a mean, a swap turns the sign of the patient's difference (Fisher 1935)

    Two-sided. Random swaps count the data themselves as one more (Phipson and Smyth 2010), so that p is at least 1e-4.
    With P patients p is at least 2^(1 - P). Swaps after which the score is undefined do not count.
    """
    parts = patient_sums(np.stack((a, b)), groups)
    total, change = parts.sum(1), parts[1] - parts[0]
    moved = np.concatenate([swapped @ change for swapped in _swaps(parts.shape[1], seed)])
    differences = np.abs(combine(total[0] + moved) - combine(total[1] - moved))
    found = abs(float(combine(total[0]) - combine(total[1])))
    differences = differences[np.isfinite(differences)]
    as_large = differences >= found - _ROUNDING * max(1.0, found)
    if parts.shape[1] <= EXACT:
        return float(as_large.mean())
    return float((1 + as_large.sum()) / (1 + len(as_large)))


def _swaps(patients: int, seed: int) -> Iterator[Array]:
    """Which patients are swapped, 0 or 1, (swaps, patients), some swaps at a time."""
    if patients <= EXACT:
        yield ((np.arange(2**patients)[:, None] >> np.arange(patients)) & 1).astype(float)
        return
    rng, rows = np.random.default_rng(seed), max(1, _AT_A_TIME // patients)
    for start in range(0, _SWAPS, rows):
        yield rng.integers(0, 2, (min(rows, _SWAPS - start), patients), np.int8).astype(float)
