"""Synthetic ambiguous lesions whose distribution over segmentations is known exactly.

A lesion is a blob with a core and a halo around it, on a textured background. The contrast of the core determines how
likely an annotator is to outline the lesion. The contrast of the halo determines how likely each border is (tight: the
core; medium; wide: the whole halo). Both are visible, so a model can learn the exact probabilities from the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.blobs import blob_distance, step
from fastpunet.data.synthetic import Scene, SyntheticRecords

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
class SyntheticLesions(SyntheticRecords):
    """`n` records of size x size pixels; record i is a function of (seed, i) and the size alone.

    masks are the four `MODES` in order, weights their exact probabilities.

    >>> record = SyntheticLesions(10, seed=3)[7]
    >>> record.image.shape, record.masks.shape, round(float(record.weights.sum()), 6)
    ((1, 64, 64), (4, 64, 64), 1.0)
    """

    modes = MODES

    def scene(self, rng: np.random.Generator) -> Scene:
        core, halo = rng.uniform(size=2)
        centre = self.size / 2 + rng.uniform(-0.12, 0.12, size=2) * self.size
        distance = blob_distance(rng, self.size, centre, radius=rng.uniform(0.16, 0.26) * self.size)
        tight, wide = _BORDERS[0], _BORDERS[-1]
        softness = 0.05
        brightness = (0.12 + 0.5 * core) * step(tight - distance, softness)
        brightness += (0.05 + 0.22 * halo) * step(wide - distance, softness)
        masks = np.stack([np.zeros_like(distance, bool), *(distance < border for border in _BORDERS)])
        return Scene(brightness, masks, mode_probabilities(core, halo))
