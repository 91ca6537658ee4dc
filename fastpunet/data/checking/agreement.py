"""How far the raters of an image agree."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.checking.report import Report
from fastpunet.data.record import Record


def describe_agreement(report: Report, looked: Sequence[Record], nothing: Collection[int]) -> None:
    """Add how much two masks of an image overlap on average, and note raters who always draw the same.

    nothing: the labels of pixels that a mask does not mark.
    """
    marked = list(nothing)
    pairs = [overlap(a, b, marked) for record in looked for a, b in combinations(record.masks, 2)]
    if not pairs:
        return
    one_sided = [pair == 0 for pair in pairs]
    report.facts["agreement"] = (
        f"two masks of an image share {np.mean(pairs):.0%} of what either marks (IoU; both empty count as 100 %), and "
        f"{np.mean(one_sided):.0%} of the pairs share nothing"
    )
    if min(pairs) == 1:
        report.note("all masks of an image are the same, so that there is no disagreement to learn")


def overlap(first: NDArray[np.uint8], second: NDArray[np.uint8], nothing: Sequence[int]) -> float:
    """Of the pixels that either mask marks the share that both mark with the same class; 1 where neither marks any.

    >>> overlap(np.array([1, 1, 0, 2], np.uint8), np.array([1, 0, 0, 1], np.uint8), [0])
    0.3333333333333333
    """
    either = ~(np.isin(first, nothing) & np.isin(second, nothing))
    return float((first == second)[either].mean()) if either.any() else 1.0
