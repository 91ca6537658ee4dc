"""Measures that only count or look up pixels: area, centroid, components, distance to a structure."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from fastpunet.hypotheses.measures.geometry import BoolArray, FloatArray, Geometry, cropped
from fastpunet.optional import require


def content(masks: BoolArray, geometry: Geometry) -> FloatArray:
    """Area of masks (n, H, W), or volume of masks (n, D, H, W); 0 for empty masks."""
    return np.count_nonzero(masks.reshape(len(masks), -1), axis=1) * math.prod(geometry.spacing)


def _centroid(axis: int, masks: BoolArray, geometry: Geometry) -> FloatArray:
    others = tuple(a for a in range(1, masks.ndim) if a != masks.ndim + axis)
    profile = masks.sum(others)
    total = profile.sum(1)
    with np.errstate(invalid="ignore"):
        return profile @ (np.arange(profile.shape[1]) * geometry.spacing[axis]) / total


# Position of the centre of mass along an axis, from the centre of the first pixel; NaN for empty masks.
centroid_slice, centroid_row, centroid_column = (partial(_centroid, axis) for axis in (-3, -2, -1))


def number_of_components(masks: BoolArray, geometry: Geometry) -> FloatArray:  # noqa: ARG001
    """How many components a mask has; pixels that share an edge or a corner are of one component (8 or 26 neighbours).

    All masks are labelled at once, as a stack whose masks are no neighbours.
    """
    ndimage = require("scipy.ndimage", "counting components")
    neighbours = np.zeros((3,) * masks.ndim, bool)
    neighbours[1] = True
    labels, count = ndimage.label(cropped(masks), structure=neighbours)
    mask_of = np.zeros(count + 1, np.int64)
    inside = np.nonzero(labels)
    mask_of[labels[inside]] = inside[0]
    return np.bincount(mask_of[1:], minlength=len(masks)).astype(np.float64)


def distance_to_structure(masks: BoolArray, geometry: Geometry) -> FloatArray:
    """Smallest distance from a pixel's centre in the mask to one in the structure, 0 if they overlap; NaN if empty."""
    return np.array([np.min(geometry.distances[mask], initial=np.inf) if mask.any() else np.nan for mask in masks])
