"""Volumes in files on the axes that a model was trained on, and the way back to those of the file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.inputs.input import Input, Stored
from fastpunet.data.nifti import AS_STORED, Axes
from fastpunet.data.orientations import axes_between, back, orientation_of, turned, turned_affine


def orientation_of_input(image: Input) -> str | None:
    """How the axes of a volume lie in the body; None for a single slice, and if the files do not say."""
    return orientation_of(image.grid.affine) if image.grid is not None and len(image.size) == 3 else None


def oriented(image: Input, orientation: str | None) -> Input:
    """A volume on the axes of this orientation; unchanged if it has it, or if either is unknown."""
    own = orientation_of_input(image)
    if orientation is None or own is None:
        return image
    return on_axes(image, axes_between(own, orientation))


def on_axes(image: Input, axes: Axes) -> Input:
    """A volume with rows, columns and slices along other axes of its own. What is written of it is turned back."""
    if axes == AS_STORED:
        return image
    depth, height, width = image.size
    sides = (height, width, depth)
    grid = image.grid
    return replace(
        image,
        size=by_axis(image.size, axes),
        spacing=None if image.spacing is None else by_axis(image.spacing, axes),
        grid=None if grid is None else replace(grid, affine=turned_affine(grid.affine, sides, axes)),
        load=partial(_load, image, axes),
        stored=Stored(image, axes),
    )


def as_stored(image: Input, stack: NDArray[Any]) -> tuple[Input, NDArray[Any]]:
    """An image as its files have it, with arrays (..., *size) over it."""
    if image.stored is None:
        return image, stack
    return image.stored.image, np.ascontiguousarray(turned(stack, back(image.stored.axes)))


def by_axis(of_array: tuple[Any, ...], axes: Axes) -> tuple[Any, ...]:
    """Numbers for slices, rows and columns, for those of the other axes."""
    of_file = (*of_array[1:], of_array[0])
    rows, columns, slices = (of_file[axis] for axis, _ in axes)
    return slices, rows, columns


def _load(image: Input, axes: Axes, index: int | None = None) -> NDArray[Any]:
    values = turned(image.load(), axes)
    return values if index is None else values[:, index]
