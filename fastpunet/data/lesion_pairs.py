"""Synthetic pairs of lesions whose segmentations are not nested, and whose probabilities are known exactly.

One lesion lies in the left half of the image and one in the right half, on a textured background. An annotator outlines
the left one, the right one, both or nothing. The contrast of each lesion determines how likely it is to be outlined,
whatever becomes of the other. So the outlines of two annotators may have no pixel in common, which level sets of one
map cannot express: a model has to know where, not only how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.blobs import blob_distance, step
from fastpunet.data.synthetic import Scene, SyntheticRecords

MODES = ("absent", "left", "right", "both")


def mode_probabilities(left: float, right: float) -> NDArray[np.float32]:
    """P(absent, left, right, both) for the contrasts of both lesions in [0, 1].

    A lesion is outlined with probability 0.18 + 0.64 contrast, independently of the other. No mode has a probability
    below 0.0324.

    >>> [round(float(probability), 4) for probability in mode_probabilities(left=1, right=0)]
    [0.1476, 0.6724, 0.0324, 0.1476]
    """
    left_outlined, right_outlined = 0.18 + 0.64 * left, 0.18 + 0.64 * right
    return np.array(
        [
            (1 - left_outlined) * (1 - right_outlined),
            left_outlined * (1 - right_outlined),
            (1 - left_outlined) * right_outlined,
            left_outlined * right_outlined,
        ],
        dtype=np.float32,
    )


@dataclass(frozen=True)
class SyntheticLesionPairs(SyntheticRecords):
    """`n` records of size x size pixels; record i is a function of (seed, i) and the size alone.

    masks are the four `MODES` in order, weights their exact probabilities.

    >>> record = SyntheticLesionPairs(10, seed=3)[7]
    >>> record.image.shape, record.masks.shape, round(float(record.weights.sum()), 6)
    ((1, 64, 64), (4, 64, 64), 1.0)
    """

    modes = MODES

    def scene(self, rng: np.random.Generator) -> Scene:
        contrasts = rng.uniform(size=2)
        distances = [self._distance(rng, side) for side in (0.25, 0.75)]
        brightness = np.zeros((self.size, self.size))
        for contrast, distance in zip(contrasts, distances, strict=True):
            brightness += (0.12 + 0.5 * contrast) * step(1 - distance, softness=0.05)
        left, right = (distance < 1 for distance in distances)
        masks = np.stack([np.zeros_like(left), left, right, left | right])
        return Scene(brightness, masks, mode_probabilities(*contrasts))

    def _distance(self, rng: np.random.Generator, side: float) -> NDArray[np.float64]:
        """The distance from a lesion that stays in its half, whose centre is at `side` of the image's width."""
        centre = (np.array([0.5, side]) + rng.uniform(-1, 1, size=2) * (0.2, 0.035)) * self.size
        return blob_distance(rng, self.size, centre, radius=rng.uniform(0.13, 0.16) * self.size)
