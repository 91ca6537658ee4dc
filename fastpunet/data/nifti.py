"""Reads NIfTI files as arrays on the grid of their image, with errors that name the file.

Every file, whether it holds (H, W), (H, W, Z) or either with further axes of length 1, is read as a volume (H, W, Z).
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.reading import Unreadable, check_unpacked, reading
from fastpunet.optional import require

SUFFIXES = (".nii", ".nii.gz")
_GZIP_RATIO = 1032  # the largest compression ratio of deflate
_MILLIMETRES = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}

Axes = tuple[tuple[int, int], ...]  # for each axis of the image: that of the file, and 1, or -1 for the other direction
AS_STORED: Axes = ((0, 1), (1, 1), (2, 1))


@dataclass(frozen=True, eq=False)
class Volume:
    """The properties of a NIfTI file that are known before its voxels are read."""

    path: Path
    shape: tuple[int, int, int]  # (H, W, Z)
    flat: bool  # whether the file has two axes only
    affine: NDArray[np.float64] | None  # (4, 4), voxel indices to `unit`; None if the file does not say
    spacing: tuple[float, float, float] | None  # mm along each axis; None if the file does not say
    unit: str  # of the affine: mm, meter, micron or unknown
    space: int  # NIfTI's code of the space that the affine leads to: 1 scanner, 2 aligned, ...; 0 if there is none


def read_header(path: Path) -> Volume:
    """Read shape and grid of a file, and check that its header claims no more voxels than the file can hold.

    Raises FileNotFoundError, and ValueError for a file that is truncated, no NIfTI file, too large, not 2-D or 3-D, or
    not of real numbers.
    """
    require("nibabel", "reading NIfTI files")
    with reading(path, "a NIfTI file"):
        header = open_header(path)
        stored = tuple(int(side) for side in header.get_data_shape())
        dtype = header.get_data_dtype()
        sides = (*stored, 1, 1)[:3]
        if len(stored) < 2 or min(stored) < 1 or math.prod(stored) != math.prod(sides) or dtype.kind not in "biuf":
            raise Unreadable(f"holds {dtype} {stored}, expected real numbers (H, W) or (H, W, Z)")
        check_space(path, header, math.prod(stored))
        space = int(header["sform_code"]) or int(header["qform_code"])
        affine = np.asarray(header.get_best_affine(), np.float64)
        unit = header.get_xyzt_units()[0]
        steps = tuple(float(step) * _MILLIMETRES.get(unit, 1.0) for step in np.linalg.norm(affine[:3, :3], axis=0))
    spacing = steps if all(0 < step < math.inf for step in steps) else None
    flat, known = len(stored) == 2, affine if space > 0 else None
    return Volume(path, sides, flat, known, spacing, unit, space)  # type: ignore[arg-type]


def read(volume: Volume, slice_: int | None = None, axes: Axes = AS_STORED) -> NDArray[Any]:
    """Read the voxels (H, W, Z), or the slice (H, W) at `slice_` of the last axis, on `axes`, scaled as the file says.

    Raises FileNotFoundError, and ValueError for a file that is truncated or has NaN or infinite voxels.
    """
    nibabel = require("nibabel", "reading NIfTI files")
    path = volume.path
    part: list[Any] = [slice(None)] * 3
    if slice_ is not None:
        axis, turn = axes[2]
        part[axis] = slice_ if turn > 0 else volume.shape[axis] - 1 - slice_
    with reading(path, "a NIfTI file"):
        proxy = nibabel.arrayproxy.ArrayProxy(path, open_header(path))
        index = tuple((*part, *[0] * proxy.ndim)[: proxy.ndim])
        voxels = np.asanyarray(proxy[index] if slice_ is not None and proxy.ndim > 2 else proxy)
        if slice_ is None or proxy.ndim == 2:
            voxels = voxels.reshape(volume.shape)[tuple(part)]
    kept = [axis for axis, _ in axes if slice_ is None or axis != axes[2][0]]
    voxels = voxels.transpose([sorted(kept).index(axis) for axis in kept])
    voxels = voxels[tuple(slice(None, None, turn) for _, turn in axes[: len(kept)])]
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise ValueError(f"file: {path} has NaN or infinite voxels, expected finite ones; replace them")
    return voxels


def read_labels(volume: Volume, slice_: int | None = None, axes: Axes = AS_STORED) -> NDArray[np.uint8]:
    """Like `read`, for class indices uint8. Raises ValueError also for values other than whole numbers 0 .. 255."""
    voxels = read(volume, slice_, axes)
    if voxels.dtype == np.uint8:
        return voxels
    labels = voxels.astype(np.uint8) if voxels.min() >= 0 and voxels.max() <= 255 else None
    if labels is None or not np.array_equal(labels, voxels):
        raise ValueError(
            f"mask: {volume.path} has values from {voxels.min()} to {voxels.max()}, not all whole numbers of 0 .. 255; "
            "store class indices"
        )
    return labels


def open_header(path: Path) -> Any:
    """The header, as nibabel's of version 1 or 2. Use it inside `reading`.

    It is read from its own bytes alone, because a hostile rest could fill the memory.
    """
    nibabel = require("nibabel", "reading NIfTI files")
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        content = file.read(540)
    second = content[:4] in ((540).to_bytes(4, "little"), (540).to_bytes(4, "big"))
    kind, length = (nibabel.Nifti2Header, 540) if second else (nibabel.Nifti1Header, 348)
    if len(content) < length:
        raise Unreadable("is truncated or not a NIfTI file (its header is incomplete); copy it again")
    header = kind(content[:length], check=False)
    if header["magic"].item().rstrip(b"\0\r\n\x1a") not in (b"n+1", b"n+2"):
        raise Unreadable("is truncated or not a NIfTI file (its header has no NIfTI magic); copy it again")
    return header


def check_space(path: Path, header: Any, voxels: int, kind: str = "volume") -> None:
    """Raise Unreadable if a file cannot hold that many voxels, or they would take more memory than `kind` may."""
    start, item = int(header.get_data_offset()), header.get_data_dtype().itemsize
    packed = path.name.lower().endswith(".gz")
    room = path.stat().st_size * (_GZIP_RATIO if packed else 1)
    if start < 0 or start + voxels * item > room + (1024 if packed else 0):
        raise Unreadable(f"is truncated or not a NIfTI file (it claims {start + voxels * item:,} bytes); copy it again")
    slope, intercept = header.get_slope_inter()
    scaled = slope not in (None, 1) or intercept not in (None, 0)
    check_unpacked(path, start + voxels * (max(8, item) if scaled else item), kind)
