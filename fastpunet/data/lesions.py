"""Synthetic ambiguous lesions whose distribution over segmentations is known exactly.

A lesion is a blob with a core and a halo around it, on a textured background. The contrast of the core determines how
likely an annotator is to outline the lesion. The contrast of the halo determines how likely each border is (tight: the
core; medium; wide: the whole halo). Both are visible, so a model can learn the exact probabilities from the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.record import Record
from fastpunet.intensity import EIGHT_BIT, Intensity

MODES = ("absent", "tight", "medium", "wide")
_BORDERS = (0.62, 0.82, 1.0)  # radii of tight, medium and wide, as shares of the halo's


def mode_probabilities(core: float, halo: float) -> NDArray[np.float32]:
    """P(absent, tight, medium, wide) for core and halo contrast in [0, 1].

    The lesion is present with probability 0.15 + 0.8 core. If it is, tight, medium and wide have the probabilities
    (1 - halo)^2, 2 halo (1 - halo) and halo^2, where halo is first moved towards 1/2, so that no border is certain.

    >>> [round(float(probability), 4) for probability in mode_probabilities(core=1, halo=0.5)]
    [0.05, 0.2375, 0.475, 0.2375]
    """
    present = 0.15 + 0.8 * core
    towards_wide = 0.1 + 0.8 * halo
    borders = ((1 - towards_wide) ** 2, 2 * towards_wide * (1 - towards_wide), towards_wide**2)
    return np.array([1 - present, *(present * share for share in borders)], dtype=np.float32)


@dataclass(frozen=True)
class SyntheticLesions(Sequence[Record]):
    """`n` records of size x size pixels; record i is a function of (seed, i) and the size alone.

    masks are the four `MODES` in order, weights their exact probabilities.

    >>> record = SyntheticLesions(10, seed=3)[7]
    >>> record.image.shape, record.masks.shape, round(float(record.weights.sum()), 6)
    ((1, 64, 64), (4, 64, 64), 1.0)
    """

    n: int
    seed: int = 0
    size: int = 64

    @property
    def intensity(self) -> Intensity:
        """Images are made in [0, 1]; in files they are 8-bit pictures."""
        return EIGHT_BIT

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.n))]
        if not -self.n <= index < self.n:
            raise IndexError(f"index: got {index}, expected less than {self.n}")
        return _lesion(np.random.default_rng([self.seed, index % self.n]), self.size, index % self.n)


def _lesion(rng: np.random.Generator, size: int, index: int) -> Record:
    core, halo = rng.uniform(size=2)
    distance = _blob_distance(rng, size)
    masks = np.stack([np.zeros((size, size), bool), *(distance < border for border in _BORDERS)])
    tight, wide = _BORDERS[0], _BORDERS[-1]
    softness = 0.05
    profile = (0.12 + 0.5 * core) * _step(tight - distance, softness)
    profile += (0.05 + 0.22 * halo) * _step(wide - distance, softness)
    image = 0.2 + _texture(rng, size) + profile + rng.normal(scale=0.03, size=(size, size))
    return Record(
        image=np.clip(image, 0, 1)[None].astype(np.float32),
        masks=masks.astype(np.uint8),
        id=index,
        weights=mode_probabilities(core, halo),
    )


def _blob_distance(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Distance from the blob's centre as a share of its outline's radius in that direction: (size, size)."""
    centre = size / 2 + rng.uniform(-0.12, 0.12, size=2) * size
    radius = rng.uniform(0.16, 0.26) * size
    y, x = np.mgrid[:size, :size] + 0.5
    dy, dx = y - centre[0], x - centre[1]
    angle = np.arctan2(dy, dx)
    outline = np.ones_like(angle)
    for waves in (2, 3, 5):
        outline += rng.uniform(0, 0.3 / waves) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(dy, dx) / (radius * outline)


def _texture(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Smooth background of amplitude about 0.05: a few random plane waves."""
    y, x = np.mgrid[:size, :size] / size
    texture = np.zeros((size, size))
    for _ in range(6):
        fy, fx = rng.uniform(-4, 4, size=2)
        texture += 0.02 * np.cos(2 * np.pi * (fy * y + fx * x + rng.uniform()))
    return texture


def _step(x: NDArray[np.float64], softness: float) -> NDArray[np.float64]:
    """0 to 1 as x crosses 0, over about 4 * softness."""
    return 1 / (1 + np.exp(-np.clip(x / softness, -30, 30)))
