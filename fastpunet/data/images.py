"""Image files as arrays, with errors that name the file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.optional import require

_BYTES = ("L", "RGB")
_WORDS = ("I;16", "I;16L", "I;16B", "I;16N")


def read_image(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """A grey or RGB image as float32 (1 or 3, H, W): 8-bit values divided by 255, 16-bit grey ones by 65535.

    size: (H, W) to resize to, bilinear and antialiased. Raises FileNotFoundError, and ValueError for a file that is
    truncated, no image, too large or of another kind.
    """
    picture = _open(path)
    wide = picture.mode in _WORDS or (picture.mode == "I" and picture.format == "PNG")  # "I": Pillow before 11
    if not wide and picture.mode not in _BYTES:
        raise ValueError(
            f"image: {path} has mode {picture.mode}, expected 8-bit grey, 16-bit grey or RGB; "
            "convert it, without an alpha channel or palette"
        )
    if size is not None:
        picture = picture.resize(size[::-1], require("PIL.Image", "resizing").Resampling.BILINEAR)
    pixels = np.asarray(picture).astype(np.float32) / np.float32(65535 if wide else 255)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_labels(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The pixel values of an 8-bit grey, palette (its indices) or 1-bit image: uint8 (H, W).

    size: (H, W) to resize to, nearest neighbour. Raises as `read_image`.
    """
    picture = _open(path)
    if picture.mode not in ("1", "L", "P"):
        raise ValueError(
            f"mask: {path} has mode {picture.mode}, expected one 8-bit class index per pixel (grey or palette); "
            "convert its colours to indices"
        )
    if size is not None:
        picture = picture.resize(size[::-1], require("PIL.Image", "resizing").Resampling.NEAREST)
    return np.array(picture, dtype=np.uint8)


def check_size(mask: NDArray[Any], image: NDArray[Any], path: Path) -> None:
    """ValueError unless mask (..., H, W) is of the size of image (C, H, W)."""
    if mask.shape != image.shape[1:]:
        raise ValueError(
            f"mask: {path} is {' x '.join(map(str, mask.shape))}, expected {' x '.join(map(str, image.shape[1:]))} "
            "as its image; export it again at the image's size"
        )


def _open(path: Path) -> Any:
    image_module = require("PIL.Image", "reading images")
    if not path.is_file():
        raise FileNotFoundError(f"file: no file {str(path)!r}")
    try:
        with image_module.open(path) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise ValueError(f"it has {picture.n_frames} frames")
            picture.load()
            return picture
    except image_module.DecompressionBombError as error:
        raise ValueError(f"file: {path} is too large to be an image of this data set ({error}); remove it") from None
    except (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, MemoryError) as error:
        raise ValueError(f"file: {path} is truncated or not a single image ({error}); copy it again") from None
