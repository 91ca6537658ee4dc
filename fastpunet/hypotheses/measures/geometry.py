"""What a measure knows of an image besides the mask: the distances between its pixels, and a structure in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastpunet.optional import require

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Geometry:
    """The geometry of one image.

    spacing    distance between the centres of neighbouring pixels along each axis of the image's size, in mm; 1 where
               lengths are measured in pixels
    structure  bool (*size), True where an organ, a vessel or whatever else distances are measured to is; or None
    """

    spacing: tuple[float, ...]
    structure: BoolArray | None = None

    @cached_property
    def distances(self) -> FloatArray:
        """Distance of every pixel's centre to the nearest centre of a pixel of the structure, float64 (*size)."""
        if self.structure is None:
            raise ValueError("structure: got None, expected a mask of the structure to measure distances to")
        ndimage = require("scipy.ndimage", "measuring a distance")
        return np.asarray(ndimage.distance_transform_edt(~self.structure, sampling=self.spacing), np.float64)


def cropped(masks: BoolArray) -> BoolArray:
    """The masks (n, *size) in the smallest box around all of them; in a box of one pixel if all are empty."""
    used = np.any(masks, axis=0)
    box = [slice(None)]
    for axis in range(used.ndim):
        along = np.flatnonzero(np.any(used, axis=tuple(other for other in range(used.ndim) if other != axis)))
        box.append(slice(along[0], along[-1] + 1) if len(along) else slice(1))
    return masks[tuple(box)]
