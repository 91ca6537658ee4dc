"""One image or volume: what is known of it before its pixels are read, and how to read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.nifti import Axes
from fastpunet.files import sha256
from fastpunet.intensity import Intensity


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the pixels of an image lie in space."""

    affine: NDArray[np.float64]  # (4, 4): from (row, column, slice, 1) to `unit` towards right, front and head (RAS+)
    unit: str = "mm"  # of the affine: mm, meter, micron or unknown
    space: int = 1  # NIfTI's code of that space: 1 is the scanner's

    def of_slice(self, index: int) -> Grid:
        """The grid of one slice."""
        affine = self.affine.copy()
        affine[:3, 3] += index * affine[:3, 2]
        return replace(self, affine=affine)


@dataclass(frozen=True, eq=False)
class Stored:
    """A volume as its files have it, and its axes in the order that a model takes (see `data.orientations`)."""

    image: Input
    axes: Axes


@dataclass(frozen=True, eq=False)
class Input:
    """An image (H, W) or a volume (D, H, W) of one or several channels.

    To correct what its files say, use `dataclasses.replace`, for instance replace(image, spacing=(0.5, 0.5)).
    """

    name: str  # unique among the inputs that were found together, and safe as the name of a file or a folder
    files: tuple[Path, ...]  # of a DICOM series, one for each slice in order
    format: str  # one of `recognising.FORMATS`
    channels: int
    size: tuple[int, ...]  # (H, W) or (D, H, W)
    spacing: tuple[float, ...] | None  # mm between pixels along each axis of `size`; None if the files do not say
    grid: Grid | None  # None if the files do not say
    default_intensity: Intensity  # how values become a model's floats if nobody knows a better rule
    # load() gives the values (C, *size), load(index) those of a slice (C, H, W)
    load: Callable[..., NDArray[Any]] = field(repr=False)
    stored: Stored | None = None  # what it was before its axes were turned; None if they are those of the files

    def read(self) -> NDArray[Any]:
        """Read the values (C, *size) that the files store, such as Hounsfield units, in their own real dtype.

        The array is contiguous and in the machine's byte order. Raises FileNotFoundError, and ValueError for files that
        are truncated, that changed since they were found, or that have NaN or infinite values.
        """
        values = self.load()
        if values.shape != (self.channels, *self.size):
            raise ValueError(
                f"input: {self.files[0]} holds {values.shape}, expected {(self.channels, *self.size)} as its header "
                "says; copy it again"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"input: {self.files[0]} has NaN or infinite values, expected finite ones; replace them")
        return np.require(values, values.dtype.newbyteorder("="), ["C", "W"])

    def sha256(self) -> str:
        """The SHA-256 of the content of its files, one after the other. Raises OSError.

        A file of many images is read once if its images are asked for one after the other and it does not change.
        """
        states = (path.stat() for path in self.files)
        return _sha256(self.files, tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in states))

    def slices(self) -> list[Input]:
        """The slices of a volume, each as an image (H, W) of its own; an image of two dimensions is its only slice."""
        if len(self.size) == 2:
            return [self]
        return [self._slice(index) for index in range(self.size[0])]

    def _slice(self, index: int) -> Input:
        return replace(
            self,
            name=f"{self.name}_slice{index:03}",
            files=(self.files[index],) if len(self.files) > 1 else self.files,
            size=self.size[1:],
            spacing=None if self.spacing is None else self.spacing[1:],
            grid=None if self.grid is None else self.grid.of_slice(index),
            load=partial(self.load, index),
        )


@lru_cache(maxsize=8)
def _sha256(files: tuple[Path, ...], states: tuple[tuple[int, ...], ...]) -> str:  # noqa: ARG001  # files that change are others
    return sha256(*files)
