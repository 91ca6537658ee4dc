"""Reads images from PNG, JPEG and TIFF files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.picture_files import open_picture, stored_bits, turned, turned_size
from fastpunet.data.reading import Unreadable, reading, warn_once
from fastpunet.intensity import EIGHT_BIT, PERCENTILES, Intensity
from fastpunet.optional import require

_FORMATS = ("PNG", "JPEG", "TIFF")  # no other decoder of Pillow is needed, and one of them runs a program
_CHANNELS = {"1": 1, "L": 1, "RGB": 3, "I;16": 1, "I;16L": 1, "I;16B": 1, "I;16N": 1, "I": 1, "F": 1}
_BYTES = ("1", "L", "RGB")  # modes of at most 8 bits a value


class PictureHeader(NamedTuple):
    """The properties of a picture that are known before its pixels are read."""

    channels: int
    size: tuple[int, int]  # (H, W), after rotation by the EXIF orientation
    wide: bool  # whether values have more than 8 bits

    @property
    def intensity(self) -> Intensity:
        """The default rule, percentiles for more than 8 bits, because their full range is rarely used."""
        return PERCENTILES if self.wide else EIGHT_BIT


def read_image(
    path: Path, size: tuple[int, int] | None = None, intensity: Intensity | None = None
) -> NDArray[np.float32]:
    """Read a grey or RGB picture as float32 (1 or 3, H, W) in [0, 1].

    intensity: the rule that converts stored values to these floats. Without it, values of at most 8 bits are divided by
    255 (values of 1, 2 and 4 bits are first stretched to 0 .. 255), and values of more bits are scaled by their
    percentiles, with a warning. size: (H, W) to resize to, bilinearly with antialiasing. Raises FileNotFoundError, and
    ValueError for a file that is truncated, no image, too large or of another kind.
    """
    header, pixels = _read(path, size)
    if intensity is None:
        intensity = header.intensity
        if header.wide:
            warn_once(
                f"{path.parent}: pictures of more than 8 bits are scaled by the percentiles 0.5 and 99.5 of each; give "
                "an intensity rule, such as Intensity.range(0, 4095) for 12 bits, to keep grey values comparable",
                (path.parent, "wide"),
            )
    elif (intensity != EIGHT_BIT or pixels.dtype != np.uint8) and (message := intensity.outside(pixels, str(path))):
        warn_once(message, (path.parent, intensity))
    return np.ascontiguousarray(intensity.apply(pixels))


def read_stored(path: Path) -> NDArray[Any]:
    """Read the values (1 or 3, H, W) that a grey or RGB picture stores, in their own dtype.

    Values of 1, 2 and 4 bits are stretched to 0 .. 255. Raises the errors of `read_image`.
    """
    return _read(path, None)[1]


def read_header(path: Path) -> PictureHeader:
    """Read channels and size without the pixels. Raises the errors of `read_image`."""
    with reading(path, "a single image"), open_picture(path, _FORMATS) as picture:
        return _header(picture, path)


def _read(path: Path, size: tuple[int, int] | None) -> tuple[PictureHeader, NDArray[Any]]:
    """The header, and the stored values (C, H, W), resized if a size is given."""
    with reading(path, "a single image"), open_picture(path, _FORMATS) as picture:
        header = _header(picture, path)
        picture = turned(picture, path)
        if size is not None:
            picture = picture.resize(size[::-1], require("PIL.Image", "resizing").Resampling.BILINEAR)
        pixels = np.asarray(picture)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if not np.isfinite(pixels).all():
        raise ValueError(f"image: {path} has NaN or infinite pixels, expected finite ones; replace them")
    return header, pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _header(picture: Any, path: Path) -> PictureHeader:
    if picture.mode not in _CHANNELS:
        raise Unreadable(
            f"has mode {picture.mode}, expected 8-bit grey, 16-bit grey or RGB; convert it, without an alpha channel "
            "or palette"
        )
    if picture.mode == "RGB" and stored_bits(picture, path) > 8:
        raise Unreadable("has colours of 16 bits, which would be cut to 8; convert it to 8 bits, or to grey")
    return PictureHeader(_CHANNELS[picture.mode], turned_size(picture, path), picture.mode not in _BYTES)
