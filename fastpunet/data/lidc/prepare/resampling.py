"""Square crops of one pixel spacing around a nodule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from fastpunet.data.lidc.prepare.database import Contour
from fastpunet.data.lidc.prepare.nodules import GRADERS, Nodule
from fastpunet.data.lidc.prepare.outlines import fill


@dataclass(frozen=True)
class Crop:
    """size x size pixels of `spacing_mm` around a nodule, on slices of pixel spacing `native_mm` (rows, columns)."""

    nodule: Nodule
    native_mm: tuple[float, float]
    spacing_mm: float
    size: int

    def masks(self, z_mm: float) -> NDArray[np.uint8]:
        """Masks (4, size, size) in {0, 1} on one slice; bilinear, or nearest where that would leave nothing.

        Mask m is that of the nodule's annotation m, empty if it has no outline here; those of absent graders come last.
        """
        masks = np.zeros((GRADERS, self.size, self.size), np.uint8)
        for mask, contours in zip(masks, self.nodule.outlines(z_mm), strict=False):
            if contours:
                mask[:] = self._mask(contours)
        return masks

    def _mask(self, contours: list[Contour]) -> NDArray[np.bool_]:
        points = np.concatenate([contour.points for contour in contours])
        origin, end = points.min(0) - 1, points.max(0) + 2
        native = fill(contours, origin, end - origin).astype(np.float32)
        mask: NDArray[np.bool_] = self.resample(native, 1, 0, origin) >= 0.5
        return mask if mask.any() else self.resample(native, 0, 0, origin) >= 0.5

    def resample(
        self, pixels: NDArray[np.float32], order: int, outside: float, origin: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Nearest (order 0) or bilinear (1); `pixels` start at `origin` of the slice, beyond them all is `outside`."""
        step = self.spacing_mm / np.array(self.native_mm)
        first = self.nodule.centre - (self.size - 1) / 2 * step - (0 if origin is None else origin)
        shape = (self.size, self.size)
        crop: NDArray[np.float32] = affine_transform(
            pixels, step, first, shape, order=order, mode="constant", cval=outside
        )
        return crop
