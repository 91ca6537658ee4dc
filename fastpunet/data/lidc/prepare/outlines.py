"""Outlines to masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.lidc.prepare.database import Contour


def fill(contours: Sequence[Contour], origin: NDArray[np.int64], shape: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask (H, W) of one annotation on one slice, of the pixels from `origin` (row, column) on.

    As pylidc's `Annotation.boolean_mask`: the strict interior of the outlines, since an outline in LIDC-IDRI is the
    first pixel outside; then what excluding outlines enclose is taken away, those outlines too.
    """
    mask = np.zeros(shape, bool)
    for contour in sorted(contours, key=lambda contour: not contour.inclusion):
        outline = contour.points - origin
        inside = _inside(outline, shape)
        mask = mask | inside if contour.inclusion else mask & ~inside
        mask[tuple(outline.T)] = False
    return mask


def _inside(outline: NDArray[np.int64], shape: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Even-odd rule: a pixel is inside if a ray from it to the right crosses the polygon an odd number of times."""
    (y0, x0), (y1, x1) = outline.T, np.roll(outline, -1, axis=0).T
    sloped = y0 != y1
    y0, x0, y1, x1 = y0[sloped], x0[sloped], y1[sloped], x1[sloped]
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])
    spans = (y0 <= y) != (y1 <= y)  # (H, E)
    crossing = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    crosses = spans[:, None] & (x[:, None] < crossing[:, None])  # (H, W, E)
    inside: NDArray[np.bool_] = np.count_nonzero(crosses, axis=-1) % 2 == 1
    return inside
