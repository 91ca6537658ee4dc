"""Tells the format of a file by its first bytes, and by its name where they say nothing."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

_FIRST_BYTES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\x93NUMPY": "npz",
}
SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".dcm": "dicom",
    ".dicom": "dicom",
    ".npz": "npz",
    ".npy": "npz",
}
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))


def recognise(path: Path) -> str | None:
    """The format of a file, one of `FORMATS`; None if it is none that we read. Raises OSError.

    A damaged file is still recognised by its suffix, so that its reader can say what is wrong with it.
    """
    with path.open("rb") as file:
        head = file.read(352)
    if head[:2] == b"\x1f\x8b":
        head = _unpacked(path)
    if head[128:132] == b"DICM":  # asked first, because what comes before it may be that of a TIFF
        return "dicom"
    if head[344:347] in (b"n+1", b"ni1") or head[4:7] in (b"n+2", b"ni2"):
        return "nifti"
    by_content = next((name for first, name in _FIRST_BYTES.items() if head.startswith(first)), None)
    return by_content or _by_suffix(path)


def _by_suffix(path: Path) -> str | None:
    return next((name for suffix, name in SUFFIXES.items() if path.name.lower().endswith(suffix)), None)


def _unpacked(path: Path) -> bytes:
    """The first bytes within a gzip file; none if it is damaged."""
    try:
        with gzip.open(path) as file:
            return file.read(352)
    except (OSError, EOFError, zlib.error):
        return b""
