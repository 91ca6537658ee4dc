"""A small picture of an image with the outlines of its alternatives."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.optional import needed_for

with needed_for("report pages", "report"):
    from PIL import Image, ImageDraw

SIDE = 160  # pixels of the longer side
_LINES = (
    (230, 159, 0),
    (86, 180, 233),
    (31, 199, 150),
    (240, 228, 66),
    (231, 138, 195),
)  # as in palette.ts
_TONES = 64  # of the image: a picture takes a few kilobytes
_WIDTH = 2


def thumbnail(stored: NDArray[Any], window: tuple[float, float], masks: Sequence[NDArray[np.bool_]]) -> bytes:
    """PNG of an image (C, H, W) with the outlines of masks (H, W), of which the first lies on top.

    window: the values that are shown darkest and brightest.
    """
    low, high = window
    scaled = (stored.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
    levels = (scaled.clip(0, 1) * 255).round().astype(np.uint8)
    height, width = levels.shape[1:]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = _with_palette(Image.fromarray(levels[0] if len(levels) != 3 else levels.transpose(1, 2, 0).copy()), size)
    pen = ImageDraw.Draw(picture)
    for place, mask in reversed(list(enumerate(masks[: len(_LINES)]))):
        for edge in _edges(mask):
            pen.line([(x * size[0] / width, y * size[1] / height) for x, y in edge], _TONES + place, _WIDTH)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _with_palette(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image at another size in `_TONES` tones, behind which its palette has the colours of the lines."""
    resized = picture.resize(size, Image.Resampling.BILINEAR)
    if resized.mode == "L":
        tones = resized.point([level * _TONES // 256 for level in range(256)])
        tones.putpalette([round(tone * 255 / (_TONES - 1)) for tone in range(_TONES) for _ in range(3)])
    else:
        tones = resized.quantize(_TONES, dither=Image.Dither.NONE)
    palette = (tones.getpalette() or [])[: 3 * _TONES]
    tones.putpalette([*palette, *[0] * (3 * _TONES - len(palette)), *(value for line in _LINES for value in line)])
    return tones


def _edges(mask: NDArray[np.bool_]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The sides of pixels (column, row) between the inside of a mask (H, W) and the outside."""
    inside = np.pad(mask, 1)
    down = zip(*np.nonzero(inside[1:, 1:-1] != inside[:-1, 1:-1]), strict=True)
    across = zip(*np.nonzero(inside[1:-1, 1:] != inside[1:-1, :-1]), strict=True)
    flat = [((int(x), int(y)), (int(x) + 1, int(y))) for y, x in down]
    return flat + [((int(x), int(y)), (int(x), int(y) + 1)) for y, x in across]
