"""NIfTI files on the grid of their image."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fastpunet.data.inputs import Input
from fastpunet.data.writing.content import FloatMap, Hypotheses
from fastpunet.files import write_bytes
from fastpunet.optional import require

_LONGEST_AXIS = 32767  # of NIfTI-1


def write_hypotheses(target: Path, hypotheses: Hypotheses) -> list[Path]:
    """TARGET.nii.gz, uint8 (H, W, D, n)."""
    return _save(target, hypotheses.image, _voxels(hypotheses.labels, hypotheses.image), "label")


def write_map(target: Path, content: FloatMap) -> list[Path]:
    """TARGET.nii.gz, float32 (H, W, D), or (H, W, D, K) for classes."""
    voxels = _voxels(content.classes, content.image)
    return _save(target, content.image, voxels if voxels.shape[3] > 1 else voxels[..., 0], "estimate")


def _voxels(stack: NDArray[Any], image: Input) -> NDArray[Any]:
    """(k, H, W) or (k, D, H, W) to (H, W, D, k)."""
    return (stack[:, None] if len(image.size) == 2 else stack).transpose(2, 3, 1, 0)


def _save(target: Path, image: Input, voxels: NDArray[Any], intent: str) -> list[Path]:
    path = target.with_name(f"{target.name}.nii.gz")
    write_bytes(path, gzip.compress(encoded(image, voxels, intent), 6, mtime=0))
    return [path]


def encoded(image: Input, voxels: NDArray[Any], intent: str) -> bytes:
    """The content of an uncompressed NIfTI file with voxels (H, W, D) or (H, W, D, k) on the grid of an image.

    intent: NIfTI's name for what the values mean, "label" or "estimate".
    """
    nibabel = require("nibabel", "writing NIfTI files")
    kind = nibabel.Nifti1Image if max(voxels.shape) <= _LONGEST_AXIS else nibabel.Nifti2Image
    grid = image.grid
    written = kind(voxels, None if grid is None else grid.affine)
    if grid is not None:
        written.header.set_xyzt_units(grid.unit)
        written.set_qform(grid.affine, grid.space)  # as far as a qform can hold the affine; readers prefer the sform
        written.set_sform(grid.affine, grid.space)
    elif image.spacing is not None:
        depth = image.spacing[0] if len(image.size) == 3 else 1.0
        written.header.set_zooms((*image.spacing[-2:], depth, *[1.0] * (voxels.ndim - 3)))
        written.header.set_xyzt_units("mm")
    written.header.set_intent(intent, name=("fastpunet " + intent)[:15])
    content: bytes = written.to_bytes()
    return content
