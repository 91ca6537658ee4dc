"""Perimeter and surface area by the formula of Crofton, which holds for pixels of any shape.

The boundary is estimated from how often straight lines cross it. The lines run through the centres of the pixels in the
directions of all neighbours: 4 directions in images and 13 in volumes. Each direction stands for all that are nearer to
it than to any other, measured in mm (Lehmann and Legland 2012, Insight Journal, "Efficient N-dimensional surface
estimation using Crofton formula and run-length encoding"). For square pixels the perimeter is the same as that of
`perimeter_crofton` in scikit-image, with 4 directions.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from fastpunet.hypotheses.measures.geometry import BoolArray, FloatArray, Geometry, cropped
from fastpunet.optional import require

# Crofton and Cauchy: the boundary is this constant times the mean, over directions, of half the number of crossings
# times the width (area) that each line stands for.
_BOUNDARY_OF_MEAN_SHADOW = {2: math.pi, 3: 4.0}


def boundary(masks: BoolArray, geometry: Geometry) -> FloatArray:
    """Length of the outline of masks (n, H, W), or area of the surface of masks (n, D, H, W); 0 for empty masks.

    Beyond the edge of the image is background. The mean over all directions is right, so spheres and discs are. A
    straight edge is 5.2 % too short at worst (along rows of square pixels) or 2.6 % too long (at 22.5 degrees), a plane
    7.3 % too small or 2.3 % too large in cubic voxels, and in voxels of 2.5 x 0.7 x 0.7 mm 18 % too small or 10 % too
    large.
    """
    dims = masks.ndim - 1
    pixel = math.prod(geometry.spacing)
    directions = _directions(dims)
    lengths = np.linalg.norm(directions * geometry.spacing, axis=1)
    padded = np.pad(cropped(masks), ((0, 0), *((1, 1),) * dims))
    total = np.zeros(len(masks))
    for direction, length, share in zip(directions, lengths, _shares(directions, geometry.spacing), strict=True):
        total += share * _crossings(padded, direction) / 2 * pixel / length
    return _BOUNDARY_OF_MEAN_SHADOW[dims] * total


def _directions(dims: int) -> np.ndarray:
    """Steps to the neighbours of a pixel, one of every two opposite ones: int (4 or 13, dims)."""
    steps = [step for step in product((-1, 0, 1), repeat=dims) if step > (0,) * dims]
    return np.array(steps)


def _shares(directions: np.ndarray, spacing: tuple[float, ...]) -> FloatArray:
    """The share of all directions in space that are nearest to each of these."""
    towards = directions * spacing
    if len(spacing) == 2:
        angles = np.arctan2(towards[:, 0], towards[:, 1])  # in [0, pi)
        order = np.argsort(angles)
        gaps = np.diff(angles[order], append=angles[order][0] + np.pi)
        shares = np.empty(len(angles))
        shares[order] = (gaps + np.roll(gaps, 1)) / 2 / np.pi
        return shares
    spatial = require("scipy.spatial", "measuring a surface area")
    units = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    areas = spatial.SphericalVoronoi(np.concatenate((units, -units))).calculate_areas()
    return np.asarray(areas[: len(units)] / (2 * np.pi))


def _crossings(padded: BoolArray, step: np.ndarray) -> np.ndarray:
    """How often the lines along a step enter or leave each mask, int (n,)."""
    here, there = (
        padded[tuple(slice(max(s, 0), size + min(s, 0)) for s, size in zip((0, *way), padded.shape, strict=True))]
        for way in (-step, step)
    )
    return np.count_nonzero((here ^ there).reshape(len(padded), -1), axis=1)
