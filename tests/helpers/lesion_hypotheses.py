"""Hypotheses drawn from the known distributions of synthetic lesions, with small variations of every border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fastpunet.data import Record

_SMOOTH = 3  # pixels: the standard deviation of the filter that makes a border's noise smooth


def draw_lesions(record: Record, n: int, variation: str, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """n hypotheses (n, H, W) from the record's exact distribution, and which of its masks each one varies (n,).

    variation: "none"; "edge", each pixel on either side of the border belongs to the other side with probability 1/4;
    "wobble", the border moves by smooth noise whose standard deviation is 0.7 pixels; "shift", the mask moves by -1, 0
    or 1 pixels along each axis; "grow", it is dilated or eroded by one pixel, each with probability 1/3.
    """
    rng = np.random.default_rng([seed, record.id])
    weights = record.weights.astype(np.float64)
    which = rng.choice(len(weights), n, p=weights / weights.sum())
    return np.stack([_vary(record.masks[mask].astype(bool), variation, rng) for mask in which]).astype(np.uint8), which


def _vary(mask: NDArray[np.bool_], variation: str, rng: np.random.Generator) -> NDArray[np.bool_]:
    if variation == "none" or not mask.any():
        return mask
    if variation == "edge":
        band = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)
        return mask ^ (band & (rng.random(mask.shape) < 1 / 4))
    if variation == "wobble":
        inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
        noise = ndimage.gaussian_filter(rng.normal(size=mask.shape), _SMOOTH)
        noise *= 0.7 * 2 * _SMOOTH * np.sqrt(np.pi)  # the filter divides the standard deviation by 2 s sqrt(pi)
        return np.where(mask, inside - 0.5, 0.5 - outside) + noise > 0
    if variation == "shift":
        return np.roll(mask, rng.integers(-1, 2, size=2), (0, 1))
    return (mask, ndimage.binary_dilation(mask), ndimage.binary_erosion(mask))[rng.integers(3)]
