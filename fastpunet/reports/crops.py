"""Finds the part of an image that contains its masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import IGNORE

_MARGIN, _SMALLEST = 4, 16  # pixels

Window = tuple[slice, slice]


def window_around(masks: NDArray[np.uint8]) -> Window:
    """Rows and columns of a square around all masks (M, H, W), with a margin; the whole image if all are empty.

    Pixels labelled IGNORE do not count as marked.
    """
    height, width = masks.shape[1:]
    used = ((masks > 0) & (masks != IGNORE)).any(0)
    if not used.any():
        return slice(0, height), slice(0, width)
    ends = [np.flatnonzero(used.any(axis))[[0, -1]] for axis in (1, 0)]
    side = max(_SMALLEST, *(int(last - first) + 1 + 2 * _MARGIN for first, last in ends))
    rows, columns = (
        _span(int(first + last + 1) // 2, side, length)
        for (first, last), length in zip(ends, (height, width), strict=True)
    )
    return rows, columns


def _span(centre: int, side: int, length: int) -> slice:
    side = min(side, length)
    start = min(max(0, centre - side // 2), length - side)
    return slice(start, start + side)
