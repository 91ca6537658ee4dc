"""Writes hypotheses to files that viewers can show on top of their image."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import nifti
from fastpunet.data.optional import require
from fastpunet.files import replacing, write_bytes

SUFFIXES = (*nifti.SUFFIXES, ".tif", ".tiff", ".png")


def write_hypotheses(
    path: str | os.PathLike[str],
    labels: NDArray[np.uint8],
    *,
    like: str | os.PathLike[str] | None = None,
    slice: int | None = None,
) -> Path:
    """Write all hypotheses of one image into one file, and return its path.

    path     NIfTI (.nii, .nii.gz): a volume (H, W, Z, n) with the hypotheses along the last axis; TIFF: a page for
             each hypothesis; PNG: a single hypothesis
    labels   uint8 (n, H, W) or (n, D, H, W), class indices, as `fastpunet.sample(...)[0]` gives them
    like     NIfTI: the image's file (`FolderRecords.files`), whose grid the hypotheses get
    slice    the slice of `like` that the labels (n, H, W) belong to (see `Record.slice`)

    Raises ValueError for labels of another shape or size than `like`, TypeError for another dtype, and OSError.
    """
    target, name = Path(path), Path(path).name.lower()
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8:
        got = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise TypeError(f"labels: got {got}, expected a NumPy array of uint8; see tensor.numpy()")
    if labels.ndim not in (3, 4) or 0 in labels.shape:
        raise ValueError(f"labels: got {labels.shape}, expected (n, H, W) or (n, D, H, W) with at least one of each")
    if name.endswith(nifti.SUFFIXES):
        _write_nifti(target, labels, None if like is None else Path(like), slice)
    elif name.endswith((".tif", ".tiff", ".png")):
        if labels.ndim == 4 or (name.endswith(".png") and len(labels) > 1):
            raise ValueError(
                f"labels: got {labels.shape} for {target.name}, which holds "
                f"{'one image (1, H, W)' if name.endswith('.png') else 'images (n, H, W)'}; write a .nii.gz"
            )
        _write_pages(target, labels)
    else:
        raise ValueError(f"path: got {str(target)!r}, expected a name that ends in {', '.join(SUFFIXES)}")
    return target


def _write_nifti(path: Path, labels: NDArray[np.uint8], like: Path | None, place: int | None) -> None:
    nibabel = require("nibabel", "writing NIfTI files")
    voxels = labels[:, None] if labels.ndim == 3 else labels
    affine: NDArray[np.float64] | None = None
    if like is not None:
        image = nifti.read_header(like)
        depth = image.shape[2] if place is None else 1
        if voxels.shape[1:] != (depth, *image.shape[:2]) or not 0 <= (place or 0) < image.shape[2]:
            raise ValueError(
                f"labels: got {labels.shape} and slice {place}, expected the size of {like.name}, "
                f"{' x '.join(map(str, image.shape))}, or a slice of it"
            )
        if image.affine is not None:
            affine = image.affine.copy()
            affine[:3, 3] += affine[:3, 2] * (place or 0)
    written: Any = nibabel.Nifti1Image(voxels.transpose(2, 3, 1, 0), affine)
    if like is not None:
        written.header.set_xyzt_units(image.unit)
    content = written.to_bytes()
    write_bytes(path, gzip.compress(content, 6, mtime=0) if path.name.lower().endswith(".gz") else content)


def _write_pages(path: Path, labels: NDArray[np.uint8]) -> None:
    module = require("PIL.Image", "writing images")
    pages = [module.fromarray(page) for page in labels]
    with replacing(path) as temporary:
        if path.suffix.lower() == ".png":
            pages[0].save(temporary)
        else:
            pages[0].save(temporary, save_all=True, append_images=pages[1:], compression="tiff_adobe_deflate")
