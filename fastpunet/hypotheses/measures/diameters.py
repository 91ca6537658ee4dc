"""The longest diameter of masks and the extent perpendicular to it, exact and for many masks at once.

The outline of a mask is its contour at level 0.5, as of `find_contours` in scikit-image: its points are half a pixel
above, below, left and right of the centres of the pixels. So a single pixel has a diameter of one pixel.

Of a mask only the first and the last pixel of each row matter. Two rows have a fixed vertical distance, so their pixels
that are farthest from each other are those with the largest horizontal distance, which is from the first pixel of one
row to the last of the other. The largest horizontal distance for each vertical one gives all candidates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastpunet.hypotheses.measures.geometry import BoolArray, FloatArray, Geometry, cropped

_TIE = 1e-9  # relative difference below which two lengths are equal but for rounding


class _Rows(NamedTuple):
    """Ends of the rows of masks, in the units of the spacing."""

    first: FloatArray  # (n, H), position of the first pixel's centre in each row; infinity in empty rows
    last: FloatArray  # (n, H), that of the last pixel; minus infinity in empty rows
    spacing: tuple[float, ...]  # of rows and columns


class _Vectors(NamedTuple):
    """Differences between points of the outlines among which the longest of each mask is."""

    down: FloatArray  # (candidates,), the component across the rows
    across: FloatArray  # (n, candidates), the component along the rows; not finite where there are no such points
    length: FloatArray  # (n, candidates), minus infinity where there are no such points


def longest_diameter(masks: BoolArray, geometry: Geometry) -> FloatArray:
    """Largest distance between two points of the outline, also of separate components; NaN for empty masks.

    In volumes it is the largest within a plane of the last two axes (RECIST 1.1: Eisenhauer et al. 2009, Eur. J. Cancer
    45, 228, section 3.1, longest diameter in the plane of measurement).
    """
    return _by_mask(masks, geometry)[0]


def perpendicular_diameter(masks: BoolArray, geometry: Geometry) -> FloatArray:
    """Extent of the mask perpendicular to its longest diameter, in the same plane; NaN for empty masks.

    It is the distance between the two lines along the diameter that enclose the mask. If several diameters are equally
    long, it is the largest of their perpendicular extents, so that it does not depend on how the image is turned.
    """
    return _by_mask(masks, geometry)[1]


def _by_mask(masks: BoolArray, geometry: Geometry) -> tuple[FloatArray, FloatArray]:
    """Both diameters of each mask (n,)."""
    masks = cropped(masks)
    planes = masks.reshape(len(masks), -1, *masks.shape[-2:])
    used = np.any(planes, axis=(2, 3))
    longest, perpendicular = (np.full(used.shape, -np.inf) for _ in range(2))
    longest[used], perpendicular[used] = _of_planes(planes[used], geometry.spacing[-2:])
    largest = longest.max(1)
    chosen = longest >= largest[:, None] * (1 - _TIE)
    across = np.where(chosen, perpendicular, -np.inf).max(1)
    empty = ~used.any(1)
    return np.where(empty, np.nan, largest), np.where(empty, np.nan, across)


def _of_planes(planes: BoolArray, spacing: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    """Both diameters of masks (n, H, W), none of them empty."""
    rows = _row_ends(planes, spacing)
    vectors = _candidates(rows)
    longest = vectors.length.max(1, initial=-np.inf)
    mask, candidate = np.nonzero(vectors.length >= longest[:, None] * (1 - _TIE))
    extents = _extents(rows, mask, vectors.down[candidate], vectors.across[mask, candidate])
    perpendicular = np.full(len(planes), -np.inf)
    np.maximum.at(perpendicular, mask, extents)
    return longest, perpendicular


def _row_ends(planes: BoolArray, spacing: tuple[float, ...]) -> _Rows:
    used = planes.any(axis=2)
    first = planes.argmax(2) * spacing[1]
    last = (planes.shape[2] - 1 - planes[:, :, ::-1].argmax(2)) * spacing[1]
    return _Rows(np.where(used, first, np.inf), np.where(used, last, -np.inf), spacing)


def _candidates(rows: _Rows) -> _Vectors:
    """For each distance between two rows, the largest difference between their pixels to the right and to the left."""
    n, height = rows.first.shape
    right, left = np.empty((n, height)), np.empty((n, height))
    for apart in range(height):
        upper, lower = slice(height - apart), slice(apart, None)
        right[:, apart] = (rows.last[:, lower] - rows.first[:, upper]).max(1)
        left[:, apart] = (rows.last[:, upper] - rows.first[:, lower]).max(1)
    step_down, step_across = rows.spacing
    down = np.arange(height) * step_down
    # The outline adds half a pixel at either end: both across the rows, or both along them.
    across = np.concatenate((right, -left, right + step_across, -left - step_across), axis=1)
    downwards = np.concatenate((down + step_down, down + step_down, down, down))
    known = np.isfinite(across)
    length = np.where(known, np.hypot(downwards, np.where(known, across, 0)), -np.inf)
    return _Vectors(downwards, across, length)


def _extents(rows: _Rows, mask: np.ndarray, down: FloatArray, across: FloatArray) -> FloatArray:
    """Extent of the masks with these indices perpendicular to the vectors (down, across), each (m,)."""
    length = np.hypot(down, across)
    normal_down, normal_across = -across / length, down / length
    step_down, step_across = rows.spacing
    used = np.isfinite(rows.first)[mask]
    by_row = normal_down[:, None] * np.arange(used.shape[1]) * step_down
    low, high = np.full(len(mask), np.inf), np.full(len(mask), -np.inf)
    for ends in (rows.first, rows.last):
        projected = by_row + normal_across[:, None] * np.where(used, ends[mask], 0)
        low = np.minimum(low, np.where(used, projected, np.inf).min(1))
        high = np.maximum(high, np.where(used, projected, -np.inf).max(1))
    return high - low + np.maximum(step_down * np.abs(normal_down), step_across * np.abs(normal_across))
