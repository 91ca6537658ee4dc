"""Compares the grids of two NIfTI files, and finds how the axes of one correspond to those of the other."""

from __future__ import annotations

import math

import numpy as np

from fastpunet.data.nifti import AS_STORED, Axes, Volume
from fastpunet.optional import require

_TOLERANCE = 0.1  # in voxels: smaller differences between grids are due to rounding
_FAR = 1e9  # mm


def axes_onto(image: Volume, mask: Volume) -> Axes:
    """How the mask's axes must be permuted and flipped to become those of the image.

    Raises ValueError if the mask's voxels then do not lie where the image's do (to a tenth of a voxel), or if only one
    of the files has an affine.
    """
    if (image.affine is None) != (mask.affine is None):
        silent = mask if mask.affine is None else image
        raise ValueError(
            f"mask: {mask.path} cannot be laid over {image.path.name}, because {silent.path.name} does not say where "
            "its voxels lie (sform_code and qform_code are 0); save it with the affine of the other"
        )
    if image.shape == mask.shape and (image.affine is None or _same_grid(image, mask, AS_STORED)):
        return AS_STORED
    if image.affine is not None and mask.affine is not None and np.abs([image.affine, mask.affine]).max() < _FAR:
        nibabel = require("nibabel", "reading NIfTI files")
        turns = nibabel.orientations.ornt_transform(
            *(nibabel.orientations.io_orientation(volume.affine) for volume in (mask, image))
        )
        if np.isfinite(turns).all():
            found = {int(to): (axis, int(turn)) for axis, (to, turn) in enumerate(turns)}
            axes = tuple(found[axis] for axis in range(3))
            if tuple(mask.shape[axis] for axis, _ in axes) == image.shape and _same_grid(image, mask, axes):
                return axes
    raise ValueError(
        f"mask: {mask.path} lies on another grid, of {_sides(mask)} voxels, than its image {image.path.name} of "
        f"{_sides(image)}: {_difference(image, mask)}; resample it onto the image's grid, by nearest neighbour"
    )


def _same_grid(image: Volume, mask: Volume, axes: Axes) -> bool:
    return _furthest(image, mask, axes) <= _TOLERANCE


def _furthest(image: Volume, mask: Volume, axes: Axes) -> float:
    """The largest distance between corresponding corners of the two grids, in voxels of the image; NaN if unknown."""
    assert image.affine is not None
    assert mask.affine is not None
    corners = np.stack(np.meshgrid(*[(0, side - 1) for side in image.shape], indexing="ij"), -1).reshape(-1, 3)
    places = np.empty_like(corners)
    for corner_axis, (axis, turn) in enumerate(axes):
        along = corners[:, corner_axis]
        places[:, axis] = along if turn > 0 else image.shape[corner_axis] - 1 - along
    with np.errstate(over="ignore", invalid="ignore"):  # then the distance is infinite or NaN
        there, here = (
            points @ volume.affine[:3, :3].T + volume.affine[:3, 3]  # type: ignore[index]
            for points, volume in ((corners, image), (places, mask))
        )
        step = np.linalg.norm(image.affine[:3, :3], axis=0).min()
        return float(np.linalg.norm(there - here, axis=1).max() / step) if step > 0 else math.nan


def _difference(image: Volume, mask: Volume) -> str:
    if image.affine is None or image.shape != mask.shape:
        return "the sizes differ"
    distance = _furthest(image, mask, AS_STORED)
    return f"corners are {distance:.3g} voxels apart" if math.isfinite(distance) else "an affine has no inverse"


def _sides(volume: Volume) -> str:
    return " x ".join(map(str, volume.shape[:2] if volume.flat else volume.shape))
