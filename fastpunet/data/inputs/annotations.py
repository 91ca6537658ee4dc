"""Reads a file with an annotation of an image, and checks that it lies on the image's grid."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.inputs.finding import find_inputs
from fastpunet.data.inputs.input import Input
from fastpunet.data.inputs.orienting import on_axes, orientation_of_input, oriented
from fastpunet.data.inputs.recognising import recognise
from fastpunet.data.labels import class_indices
from fastpunet.data.picture_masks import read_labels
from fastpunet.data.record import IGNORE

_TOLERANCE = 0.1  # in voxels: smaller differences between grids are due to rounding


def read_annotation(path: str | os.PathLike[str], image: Input, *, binary: bool) -> NDArray[np.uint8]:
    """The class indices uint8 (*size) of an annotation of `image`, from a PNG, TIFF, NIfTI, DICOM or NumPy file.

    binary: whether the values mean background and foreground (0 and 1, or 0 and 255) instead of class indices, of which
    255 is not annotated. Raises FileNotFoundError, and ValueError, naming the file, for one that cannot be read, of
    another size or on another grid than the image, or whose values are no class indices.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"mask: no file {str(file)!r}")
    kind = recognise(file) if file.is_file() else None
    if kind == "jpeg":
        raise ValueError(f"mask: {file} is a JPEG, which changes class indices; export it as PNG")
    white = IGNORE
    if kind in ("png", "tiff"):
        values, white = read_labels(file)
        _check_size(file, values.shape, image)
    else:
        values = _stored(file, image)
    return class_indices(values, white, binary, file)


def _stored(file: Path, image: Input) -> NDArray[np.uint8]:
    """The values of a file in one of the formats that say where their pixels lie."""
    found = find_inputs([file])
    if len(found) != 1 or found[0].channels != 1:
        raise ValueError(f"mask: {file} holds {len(found)} images of several channels, expected one of class indices")
    mask = found[0]
    if orientation_of_input(mask) is not None:
        mask = oriented(mask, orientation_of_input(image))
    elif image.stored is not None and len(mask.size) == 3:
        mask = on_axes(mask, image.stored.axes)
    _check_size(file, mask.size, image)
    _check_grid(file, mask, image)
    stored = mask.read()[0]
    if stored.min() < 0 or stored.max() > IGNORE or not np.array_equal(stored, np.rint(stored)):
        raise ValueError(
            f"mask: {file} has values from {stored.min()} to {stored.max()}, not all whole numbers of 0 .. 255; store "
            "class indices"
        )
    return stored.astype(np.uint8)


def _check_size(file: Path, size: tuple[int, ...], image: Input) -> None:
    if size != image.size:
        raise ValueError(
            f"mask: {file} is {' x '.join(map(str, size))}, expected {' x '.join(map(str, image.size))}, the size of "
            f"{image.name}; resample it onto the image's grid, by nearest neighbour"
        )


def _check_grid(file: Path, mask: Input, image: Input) -> None:
    """Raise ValueError if the files say that their pixels lie at different places."""
    if mask.format == image.format == "nifti" and (mask.grid is None) != (image.grid is None):
        silent = file.name if mask.grid is None else image.name
        raise ValueError(
            f"mask: {file} cannot be laid over {image.name}, because {silent} does not say where its voxels lie; save "
            "it with the affine of the other"
        )
    if mask.grid is None or image.grid is None:
        return
    size = (image.size[-2], image.size[-1], image.size[0] if len(image.size) == 3 else 1)
    corners = np.array([(*corner, 1) for corner in product(*((0, side - 1) for side in size))])
    apart = np.linalg.norm((corners @ (mask.grid.affine - image.grid.affine).T)[:, :3], axis=1).max()
    step = np.linalg.norm(image.grid.affine[:3, :3], axis=0).min()
    if not apart <= _TOLERANCE * step or mask.grid.unit != image.grid.unit:
        raise ValueError(
            f"mask: {file} lies on another grid than {image.name}: corners are {apart / step:.3g} voxels apart; "
            "resample it onto the image's grid, by nearest neighbour"
        )
