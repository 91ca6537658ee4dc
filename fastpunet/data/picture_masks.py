"""Reads masks from PNG and TIFF files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.picture_files import open_picture, stored_bits, turned, turned_size
from fastpunet.data.reading import Unreadable, reading
from fastpunet.optional import require

_FORMATS = ("PNG", "TIFF")
_COMPRESSION, _PHOTOMETRIC = 259, 262  # TIFF tags
_JPEG_IN_TIFF = (6, 7)


class Labels(NamedTuple):
    """The values of a mask's pixels."""

    values: NDArray[np.uint8]  # (H, W)
    white: int  # the largest value that a pixel of this file can have


def read_labels(path: Path, size: tuple[int, int] | None = None) -> Labels:
    """Read the stored values of a PNG or TIFF mask: grey values of any number of bits, or indices of a palette.

    A 16-bit mask may hold 0 .. 255, or 0 and 65535, which become 0 and 255. size: (H, W) to resize to, by nearest
    neighbour. Raises the errors of `read_image`, and ValueError for colours, which are no class indices.
    """
    with reading(path, "a single image"), open_picture(path, _FORMATS) as picture:
        bits = _bits(picture, path)
        picture = turned(picture, path)
        if size is not None:
            picture = picture.resize(size[::-1], require("PIL.Image", "resizing").Resampling.NEAREST)
        values = np.array(picture)
    if bits > 8:
        return Labels(_narrow(values, path), 255)
    white = 255 if picture.mode == "P" else 2**bits - 1
    step = 255 // white if picture.mode == "L" else 1  # Pillow stretches grey of 2 or 4 bits to 0 .. 255
    return Labels(values.astype(np.uint8) // np.uint8(step), white)


def mask_size(path: Path) -> tuple[int, int]:
    """The size (H, W) of a mask, without reading its pixels. Raises the errors of `read_labels`."""
    with reading(path, "a single image"), open_picture(path, _FORMATS) as picture:
        return turned_size(picture, path)


def check_size(shape: tuple[int, ...], image: tuple[int, ...], path: Path) -> None:
    """Raise ValueError unless a mask's shape (*size) is the size of an image of shape (C, *size)."""
    if shape != image[1:]:
        raise ValueError(
            f"mask: {path} is {' x '.join(map(str, shape))}, expected {' x '.join(map(str, image[1:]))}, the size of "
            "its image; export it again at the image's size"
        )


def _bits(picture: Any, path: Path) -> int:
    """Bits of a grey or palette mask's values."""
    if picture.mode not in ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N"):
        raise Unreadable(
            f"has mode {picture.mode}, expected one 8-bit class index per pixel (grey or palette); convert its colours "
            "to indices"
        )
    if picture.format == "TIFF":
        if picture.tag_v2.get(_COMPRESSION) in _JPEG_IN_TIFF:
            raise Unreadable("is compressed as JPEG, which changes class indices; export it as PNG")
        if picture.tag_v2.get(_PHOTOMETRIC) == 0 and picture.mode != "1":
            raise Unreadable("stores white as 0, so that its class indices are ambiguous; export it as PNG")
    return 1 if picture.mode == "1" else 16 if picture.mode.startswith("I") else stored_bits(picture, path)


def _narrow(values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Convert 16-bit labels to uint8."""
    if np.isin(values, (0, 65535)).all():
        return (values != 0).astype(np.uint8) * np.uint8(255)
    if values.min() < 0 or values.max() > 255:
        raise ValueError(
            f"mask: {path} holds values from {values.min()} to {values.max()}, expected class indices of 0 .. 255"
        )
    return values.astype(np.uint8)
