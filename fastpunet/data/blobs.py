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


def texture(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Smooth background of amplitude about 0.05: a few random plane waves, (size, size)."""
    y, x = np.mgrid[:size, :size] / size
    waves = np.zeros((size, size))
    for _ in range(6):
        fy, fx = rng.uniform(-4, 4, size=2)
        waves += 0.02 * np.cos(2 * np.pi * (fy * y + fx * x + rng.uniform()))
    return waves


def step(x: NDArray[np.float64], softness: float) -> NDArray[np.float64]:
    """0 to 1 as x crosses 0, over about 4 * softness."""
    return 1 / (1 + np.exp(-np.clip(x / softness, -30, 30)))
