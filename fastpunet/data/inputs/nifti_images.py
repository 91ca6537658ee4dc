"""NIfTI files, each with one image or volume. The last axis of a volume (H, W, D) is that of the slices."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import nifti
from fastpunet.data.inputs.found import Found, names_of
from fastpunet.data.inputs.input import Grid, Input
from fastpunet.intensity import PERCENTILES


def read(path: Path) -> Iterator[Found]:
    """The image in a file, (H, W) if the file has two axes, else (D, H, W). Raises as `nifti.read_header` does."""
    volume = nifti.read_header(path)
    height, width, depth = volume.shape
    spacing: tuple[float, ...] | None = volume.spacing and (volume.spacing[2], *volume.spacing[:2])
    grid = Grid(volume.affine, volume.unit, volume.space) if _leads_somewhere(volume.affine) else None
    size: tuple[int, ...] = (depth, height, width)
    if volume.flat:
        size, spacing = size[1:], spacing and spacing[1:]
    yield Found(
        names_of(path), Input("", (path,), "nifti", 1, size, spacing, grid, PERCENTILES, partial(_values, volume))
    )


def _leads_somewhere(affine: NDArray[np.float64] | None) -> TypeGuard[NDArray[np.float64]]:
    """Whether the file has an affine, and one that has an inverse."""
    return affine is not None and bool(np.isfinite(affine).all()) and abs(np.linalg.det(affine)) > 0


def _values(volume: nifti.Volume, index: int | None = None) -> NDArray[Any]:
    if index is not None or volume.flat:
        return nifti.read(volume, index or 0)[None]
    return nifti.read(volume).transpose(2, 0, 1)[None]
