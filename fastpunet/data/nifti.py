"""NIfTI files as arrays, with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.optional import require

SUFFIXES = (".nii", ".nii.gz")


def read(path: Path, slice_: int | None = None) -> NDArray[Any]:
    """The voxels (H, W) or (H, W, Z) in the file's axis order, scaled as the file says; or the slice [..., slice_].

    Raises FileNotFoundError, and ValueError for a file that is truncated, no NIfTI file, not 2-D or 3-D, not of real
    numbers, or with NaN or infinite voxels.
    """
    nibabel = require("nibabel", "reading NIfTI files")
    if not path.is_file():
        raise FileNotFoundError(f"file: no file {str(path)!r}")
    try:
        proxy = nibabel.load(path).dataobj
        voxels = np.asanyarray(proxy if slice_ is None else proxy[..., slice_])
    except Exception as error:  # a broken header surfaces as almost any exception
        raise ValueError(f"file: {path} is truncated or not a NIfTI file ({error}); copy it again") from None
    if voxels.ndim not in (2, 3) or not voxels.size or voxels.dtype.kind not in "biuf":
        raise ValueError(f"file: {path} holds {voxels.dtype} {voxels.shape}, expected real numbers (H, W) or (H, W, Z)")
    if not np.isfinite(voxels).all():
        raise ValueError(f"file: {path} has NaN or infinite voxels, expected finite ones; replace them")
    return voxels


def read_labels(path: Path, slice_: int | None = None) -> NDArray[np.uint8]:
    """As `read`, for class indices: uint8. Raises ValueError also for values that are not whole numbers in 0 .. 255."""
    voxels = read(path, slice_)
    labels = voxels.astype(np.uint8) if voxels.min() >= 0 and voxels.max() <= 255 else None
    if labels is None or not np.array_equal(labels, voxels):
        raise ValueError(
            f"mask: {path} has values from {voxels.min()} to {voxels.max()}, not all whole numbers of 0 .. 255; "
            "store class indices"
        )
    return labels


def window(voxels: NDArray[Any]) -> tuple[float, float]:
    """The grey levels that become 0 and 1: percentiles 0.5 and 99.5, or where these coincide minimum and maximum."""
    low, high = np.percentile(voxels, (0.5, 99.5))
    return (float(low), float(high)) if low < high else (float(voxels.min()), float(voxels.max()))


def scaled(voxels: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Voxels clipped to [low, high] and scaled to [0, 1]; 0 where low = high."""
    range_ = high - low if high > low else 1.0
    return ((np.clip(voxels.astype(np.float64), low, high) - low) / range_).astype(np.float32)
