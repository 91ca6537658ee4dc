"""What synthetic images are drawn with: blobs, soft steps, and a textured background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def blob_distance(
    rng: np.random.Generator, size: int, centre: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """Distance from the blob's centre as a share of its outline's radius in that direction: (size, size).

    centre is (y, x), in pixels, as the mean radius is. The outline is wavy and nowhere farther than 1.31 radii away.
    """
    y, x = np.mgrid[:size, :size] + 0.5
    dy, dx = y - centre[0], x - centre[1]
    angle = np.arctan2(dy, dx)
    outline = np.ones_like(angle)
    for waves in (2, 3, 5):
        outline += rng.uniform(0, 0.3 / waves) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(dy, dx) / (radius * outline)


def ball_distance(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    steps: tuple[float, ...],
    centre: NDArray[np.float64],
    radius: float,
) -> NDArray[np.float64]:
    """As `blob_distance`, of a wavy ball in a volume (D, H, W).

    steps are the distances between neighbouring voxels along each axis, and centre (z, y, x) and radius are in the same
    unit. The outline is nowhere farther than 1.25 radii away.
    """
    axes = [(np.arange(side) + 0.5) * step for side, step in zip(shape, steps, strict=True)]
    away = np.stack(np.meshgrid(*axes, indexing="ij"), -1) - centre
    distance = np.linalg.norm(away, axis=-1)
    outline = np.ones_like(distance)
    for waves in (2, 3):
        pole = rng.normal(size=3)
        along = away @ (pole / np.linalg.norm(pole)) / np.maximum(distance, 1e-9)
        outline += rng.uniform(0, 0.3 / waves) * np.cos(waves * np.arccos(np.clip(along, -1, 1)))
    return distance / (radius * outline)


def texture(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Smooth background of amplitude about 0.05: a few random plane waves, of an image's or a volume's shape."""
    axes = [place / side for place, side in zip(np.indices(shape), shape, strict=True)]
    waves = np.zeros(shape)
    for _ in range(6):
        frequencies = rng.uniform(-4, 4, size=len(shape))
        phase = sum(frequency * axis for frequency, axis in zip(frequencies, axes, strict=True))
        waves += 0.02 * np.cos(2 * np.pi * (phase + rng.uniform()))
    return waves


def step(x: NDArray[np.float64], softness: float) -> NDArray[np.float64]:
    """0 to 1 as x crosses 0, over about 4 * softness."""
    return 1 / (1 + np.exp(-np.clip(x / softness, -30, 30)))
