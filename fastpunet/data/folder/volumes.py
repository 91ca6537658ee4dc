"""Reads the records of a folder of NIfTI volumes, whole or slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import nifti
from fastpunet.data.folder.layout import Graded
from fastpunet.data.labels import class_indices, is_binary
from fastpunet.data.lazy import Header
from fastpunet.data.nifti import AS_STORED
from fastpunet.data.nifti_grids import axes_onto
from fastpunet.data.orientations import axes_between, orientation_of
from fastpunet.data.reading import warn_once
from fastpunet.data.record import IGNORE, Record
from fastpunet.intensity import PERCENTILES, Intensity
from fastpunet.models.orientation import OPPOSITE

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class VolumePart:
    """One slice of a volume, or all of it, with its masks."""

    graded: Graded
    image: nifti.Volume
    masks: tuple[tuple[nifti.Volume, nifti.Axes], ...]  # each with its axes relative to those of the image
    slice: int | None  # index along the last axis; None: all slices
    flat: bool  # whether the record has two dimensions
    binary: bool
    intensity: Intensity  # a fixed range
    axes: nifti.Axes  # the file's, in the order of the record's

    def record(self, place: int) -> Record:
        """Read the record. Raises ValueError for files that are truncated or have other values."""
        voxels = self._ordered(nifti.read(self.image, self._place, self.axes))
        maps = [
            class_indices(self._ordered(nifti.read_labels(mask, self._place, axes)), IGNORE, self.binary, mask.path)
            for mask, axes in self.masks
        ]
        return Record(
            np.ascontiguousarray(self.intensity.apply(voxels))[None],
            np.stack(maps) if maps else np.zeros((0, *voxels.shape), np.uint8),
            id=place,
            patient=self.graded.patient,
            name=self.graded.image.name,
            slice=self.slice,
            raters=self.graded.raters,
            spacing=self._spacing,
        )

    def header(self) -> Header:
        height, width, depth = _by_axis(self.image.shape, self.axes)
        size = (height, width) if self.flat else (depth, height, width)
        lies = None if self.image.flat else orientation_of(self.image.affine)
        if lies is not None:
            lies = "".join(lies[axis] if turn > 0 else OPPOSITE[lies[axis]] for axis, turn in self.axes)
        return Header(self._name, (1, *size), len(self.masks), self._spacing, lies, self.graded.raters)

    def default_intensity(self) -> Intensity:
        return PERCENTILES

    @property
    def _spacing(self) -> tuple[float, ...] | None:
        spacing = self.image.spacing and _by_axis(self.image.spacing, self.axes)
        return None if spacing is None else spacing[:2] if self.flat else (spacing[2], *spacing[:2])

    @property
    def _place(self) -> int | None:
        return 0 if self.flat and self.slice is None else self.slice

    @property
    def _name(self) -> str:
        return self.graded.image.name if self.slice is None else f"{self.graded.image.name}, slice {self.slice}"

    def _ordered(self, voxels: NDArray) -> NDArray:
        """Move the slices' axis to the front, as in a record."""
        return voxels if self.flat else voxels.transpose(2, 0, 1)


def volume_parts(
    graded: Graded,
    binary: bool | None,
    intensity: Intensity | None,
    *,
    whole: bool,
    unmarked: bool,
    orientation: str | None = None,
) -> Iterator[VolumePart]:
    """Yield the records of a volume. Voxels are read only to find marked slices, or the range of grey values.

    With `whole` there is one record (1, Z, H, W). Otherwise each slice (1, H, W) along the last axis is a record if a
    rater marked something in it; with `unmarked`, or without any mask, every slice is. orientation: which way the axes
    are brought to lie, see `data.orientations`; None, as they are stored.
    Raises ValueError for files that cannot be read and for masks on another grid.
    """
    image = nifti.read_header(graded.image)
    headers = [nifti.read_header(file) for file in graded.masks]
    own = None if image.flat or orientation is None else orientation_of(image.affine)
    axes = AS_STORED if own is None else axes_between(own, orientation)  # type: ignore[arg-type]
    masks = tuple((mask, _turned_on(axes_onto(image, mask), axes)) for mask in headers)
    rule = PERCENTILES if intensity is None else intensity
    voxels = nifti.read(image)
    if intensity is not None and (message := intensity.outside(voxels, str(graded.image))):
        warn_once(message, (graded.image.parent, intensity))
    rule = rule.resolve(voxels)
    labels = [nifti.read_labels(mask, axes=axes) for mask, axes in masks]
    two_valued = is_binary(labels, binary, graded.masks[0]) if labels else bool(binary)
    slices = _by_axis(image.shape, axes)[2]
    marked = np.zeros(slices, bool)
    for values, file in zip(labels, graded.masks, strict=True):
        indices = class_indices(values, IGNORE, two_valued, file)
        marked |= ((indices != 0) & (indices != IGNORE)).any(axis=(0, 1))
    if image.flat or whole:
        yield VolumePart(graded, image, masks, None, image.flat, two_valued, rule, axes)
        return
    places = range(slices) if unmarked or not masks else np.flatnonzero(marked).tolist()
    for place in places:
        yield VolumePart(graded, image, masks, place, True, two_valued, rule, axes)


def _by_axis(numbers: tuple[_Number, ...], axes: nifti.Axes) -> tuple[_Number, ...]:
    return tuple(numbers[axis] for axis, _ in axes)


def _turned_on(of_mask: nifti.Axes, of_image: nifti.Axes) -> nifti.Axes:
    """The axes of a mask's file in the order of the record's, by those of the image's file."""
    return tuple((of_mask[axis][0], of_mask[axis][1] * turn) for axis, turn in of_image)
