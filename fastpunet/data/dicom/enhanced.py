"""Enhanced DICOM files (CT, MR, PET), each of which holds all slices of a volume, read by highdicom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.dicom.files import MEASURED, check_pixels, open_header
from fastpunet.data.dicom.stack import TO_RAS, UNEVEN
from fastpunet.data.reading import Unreadable, reading
from fastpunet.optional import require


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """The properties of a volume that are known before its pixels are read."""

    size: tuple[int, ...]  # (D, H, W)
    spacing: tuple[float, ...]  # mm along slices, rows and columns
    affine: NDArray[np.float64]  # (4, 4): from (row, column, slice, 1) to mm towards right, front and head (RAS+)


def read_volume_header(path: Path) -> VolumeHeader:
    """Read size and place of a volume.

    Raises FileNotFoundError, and ValueError for a file that is truncated, too large, not of grey values, or whose
    frames are no regular stack of slices, such as those of several phases.
    """
    with reading(path, "a DICOM file"):
        header = open_header(path)
        if check_pixels(header, path, enhanced=True) != 1:
            raise Unreadable("holds colours in several frames, expected grey values; convert it")
        if header.PhotometricInterpretation == "MONOCHROME1" and header.get("Modality") not in MEASURED:
            raise Unreadable("holds frames in which small values are white, expected MONOCHROME2; convert it")
        geometry = volume_geometry(header)
        affine = TO_RAS @ np.asarray(geometry.affine, np.float64)[:, [1, 2, 0, 3]]
        return VolumeHeader(tuple(geometry.spatial_shape), tuple(map(float, geometry.spacing)), affine)


def volume_geometry(header: Any) -> Any:
    """Where the slices lie, from foot to head if they are axial, as highdicom's VolumeGeometry. Raises Unreadable."""
    image = require("highdicom", "reading enhanced DICOM files").Image.from_dataset(header)
    geometry = image.get_volume_geometry(rtol=UNEVEN)
    if geometry is None or geometry.coordinate_system.value != "PATIENT":
        raise Unreadable(
            f"holds {header.NumberOfFrames} frames that do not form a regular stack of slices; separate its phases, "
            "echoes or repetitions, or convert it to NIfTI"
        )
    return geometry.flip_spatial(0)  # highdicom counts from the head


def read_volume(path: Path) -> NDArray[np.float32]:
    """Read the voxels (1, D, H, W), rescaled as the file says. Raises the errors of `read_volume_header`."""
    read_volume_header(path)
    with reading(path, "a DICOM file"):
        image: Any = require("highdicom", "reading enhanced DICOM files").imread(path)
        volume = image.get_volume(
            dtype=np.float32, apply_real_world_transform=False, apply_presentation_lut=False, rtol=UNEVEN
        )
        voxels = np.ascontiguousarray(volume.flip_spatial(0).array)
    return voxels[None]
