"""Opens PNG, JPEG and TIFF files with Pillow.

Images and masks are rotated as their EXIF orientation says, because viewers show them in that way, and people outlined
them in that way.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastpunet.data.reading import Unreadable, check_unpacked, one_line
from fastpunet.optional import require

_WIDTH, _HEIGHT, _BITS, _ORIENTATION = 256, 257, 258, 274  # TIFF tags
_TURNS = {  # EXIF orientation -> the name of Pillow's transposition that undoes it
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


@contextmanager
def open_picture(path: Path, formats: tuple[str, ...]) -> Iterator[Any]:
    """Open a file with one picture, without loading its pixels. Use it inside `reading`. formats: Pillow's names."""
    module = require("PIL.Image", "reading images")
    with path.open("rb") as file:  # given a name, Pillow maps TIFF pixels into memory and rotates them wrongly
        try:
            picture = module.open(file, formats=formats)
        except module.DecompressionBombError as error:
            raise Unreadable(f"is too large to be an image of this data set ({one_line(error)}); remove it") from None
        check_unpacked(path, 4 * len(picture.getbands()) * math.prod(picture.size), "picture")
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format != "MPO":  # a photograph with a preview beside it
            raise Unreadable(f"holds {frames} images, expected a single image; split it")
        yield picture


def stored_bits(picture: Any, path: Path) -> int:
    """Stored bits per value. Pillow's mode does not distinguish 2 and 4 bits from 8, nor 16-bit colours."""
    if picture.format == "TIFF":
        stored = picture.tag_v2.get(_BITS, 1)
        return int(max(stored) if isinstance(stored, tuple) else stored)
    if picture.format != "PNG":
        return 8
    with path.open("rb") as file:
        return file.read(25)[24]  # IHDR is always first


def turned_size(picture: Any, path: Path) -> tuple[int, int]:
    """The size (H, W) after rotation, found without loading the pixels."""
    if picture.format == "TIFF":
        width, height = picture.tag_v2[_WIDTH], picture.tag_v2[_HEIGHT]
    else:
        width, height = picture.size
    return (width, height) if _orientation(picture, path) >= 5 else (height, width)


def turned(picture: Any, path: Path) -> Any:
    """The picture with its pixels loaded and rotated."""
    if picture.format == "TIFF":
        with _quiet():  # libtiff also prints the errors that Pillow raises
            picture.load()  # which may rotate it
        return picture
    picture.load()
    turn = _TURNS.get(_orientation(picture, path))
    if turn is None:
        return picture
    return picture.transpose(getattr(require("PIL.Image", "reading images").Transpose, turn))


def _orientation(picture: Any, path: Path) -> int:
    """The EXIF orientation, 1 .. 8."""
    if picture.format == "TIFF":
        found = picture.tag_v2.get(_ORIENTATION, 1)
    else:
        if picture.format == "PNG" and _says_more_behind_pixels(path):
            picture.load()
        # a PNG's own getexif would always read the pixels
        found = require("PIL.Image", "reading images").Image.getexif(picture).get(_ORIENTATION, 1)
    return found if found in _TURNS else 1


def _says_more_behind_pixels(path: Path) -> bool:
    """Whether a PNG has chunks that can hold an orientation after its pixels, where Pillow reads them too late."""
    pixels = False
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            kind = head[4:]
            if kind == b"IDAT":
                pixels = True
            elif pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


@contextmanager
def _quiet() -> Iterator[None]:
    """A context in which the process's standard error is discarded, also that of C code."""
    try:
        shown = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
