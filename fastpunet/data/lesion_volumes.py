"""Synthetic volumes of ambiguous lesions, whose distribution over segmentations is known exactly.

A lesion is a wavy ball with a core and a halo around it, in slices that are twice as thick as their pixels. The
contrast of the core determines how likely an annotator is to outline the lesion at all, and that of the halo how likely
the halo is to be taken in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.blobs import ball_distance, step
from fastpunet.data.synthetic import Scene, SyntheticRecords

MODES = ("absent", "core", "whole")
_CORE = 0.65  # radius of the core, as a share of the halo's
_THICKNESS = 2.0  # mm between slices; pixels have 1 mm


def mode_probabilities(core: float, halo: float) -> NDArray[np.float32]:
    """P(absent, core, whole) for core and halo contrast in [0, 1].

    The lesion is outlined with probability 0.2 + 0.7 core; if it is, the halo is taken in with probability 0.15 + 0.7
    halo.

    >>> [round(float(probability), 4) for probability in mode_probabilities(core=1, halo=0.5)]
    [0.1, 0.45, 0.45]
    """
    present, wide = 0.2 + 0.7 * core, 0.15 + 0.7 * halo
    return np.array([1 - present, present * (1 - wide), present * wide], dtype=np.float32)


@dataclass(frozen=True)
class SyntheticLesionVolumes(SyntheticRecords):
    """`n` volumes of size / 2 slices of size x size pixels; record i is a function of (seed, i) and the size alone.

    masks are the three `MODES` in order, weights their exact probabilities.

    >>> record = SyntheticLesionVolumes(10, seed=3, size=32)[7]
    >>> record.image.shape, record.masks.shape, record.spacing
    ((1, 16, 32, 32), (3, 16, 32, 32), (2.0, 1.0, 1.0))
    """

    modes = MODES
    spacing = (_THICKNESS, 1.0, 1.0)
    background = 0.1

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size // 2, self.size, self.size)

    def scene(self, rng: np.random.Generator) -> Scene:
        core, halo = rng.uniform(size=2)
        centre = self.size / 2 + rng.uniform(-0.12, 0.12, size=3) * self.size
        distance = ball_distance(rng, self.shape, self.spacing, centre, radius=rng.uniform(0.2, 0.28) * self.size)
        softness = 0.05
        brightness = (0.1 + 0.4 * core) * step(_CORE - distance, softness)
        brightness += (0.06 + 0.38 * halo) * step(1 - distance, softness)
        masks = np.stack([np.zeros_like(distance, bool), distance < _CORE, distance < 1])
        return Scene(brightness, masks, mode_probabilities(core, halo))
