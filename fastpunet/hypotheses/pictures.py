"""Outlines of masks on an image, drawn with Matplotlib. Import this module where a picture is wanted, not before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.hypotheses.display import png_bytes
from fastpunet.optional import needed_for

with needed_for("drawing figures", "report"):
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

# By Okabe and Ito, distinguishable for colour-blind readers, those that stand out on grey images first.
COLOURS = ("#56B4E9", "#E69F00", "#CC79A7", "#F0E442", "#009E73", "#D55E00", "#0072B2")
INNER_COLOUR, OUTER_COLOUR = "#F0E442", "#56B4E9"  # of the certain and of the possible part


class Picture(Figure):
    """A figure that notebooks show as it is. It does not touch pyplot, so nothing has to be closed."""

    def _repr_png_(self) -> bytes:
        return png_bytes(self)


def new_picture(rows: int = 1, columns: int = 1, *, side: float = 2.6) -> tuple[Picture, NDArray[np.object_]]:
    """A figure and its axes (rows, columns), each about `side` inches wide and high."""
    figure = Picture(figsize=(side * columns, side * rows), dpi=110, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def show_image(axes: Axes, image: object, size: tuple[int, ...], place: int | None = None) -> None:
    """Show one image as background, grey or in colour; a plain grey field if it is None.

    image: float or uint8 (*size), (1, *size) or (3, *size), on any device, of the masks' size. If it leaves [0, 1], or
    [0, 255] for uint8, grey values are scaled to fit. place: which slice of a volume (D, H, W) to show.

    Raises ValueError, naming `image`, for another shape.
    """
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.imshow(_pixels(image, size, place), vmin=0, vmax=1, cmap="gray", interpolation="nearest")


def draw_outline(axes: Axes, mask: object, colour: str, *, width: float = 1.5) -> bool:
    """Outline a mask (H, W), True inside, along the edges of its pixels. Returns whether there was anything to outline.

    An empty mask has no outline; that of a mask that fills the image is the image's edge.
    """
    inside = np.pad(_array(mask).astype(bool), 1)
    down, right = np.nonzero(inside[1:, 1:-1] != inside[:-1, 1:-1]), np.nonzero(inside[1:-1, 1:] != inside[1:-1, :-1])
    across = [((column - 0.5, row - 0.5), (column + 0.5, row - 0.5)) for row, column in zip(*down, strict=True)]
    along = [((column - 0.5, row - 0.5), (column - 0.5, row + 0.5)) for row, column in zip(*right, strict=True)]
    axes.add_collection(
        LineCollection(across + along, colors=colour, linewidths=width, capstyle="round"), autolim=False
    )
    return bool(inside.any())


def place_to_show(masks: object, dims: int) -> int | None:
    """The slice of volumes (..., D, H, W) on which most voxels of the masks lie; None for images, dims = 2."""
    if dims == 2:
        return None
    marked = _array(masks) > 0
    return int(marked.sum(tuple(axis for axis in range(marked.ndim) if axis != marked.ndim - 3)).argmax())


def at_place(masks: object, place: int | None) -> NDArray[Any]:
    """That slice of volumes (..., D, H, W); images (..., H, W) as they are. Tensors become arrays."""
    array = _array(masks)
    return array if place is None else array[..., place, :, :]


def _array(values: object) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _pixels(image: object, size: tuple[int, ...], place: int | None) -> NDArray[np.floating]:
    """Values in [0, 1]: (H, W), or (H, W, 3) in colour."""
    if image is None:
        return np.full(size[-2:], 0.35)
    pixels = _array(image)
    expected = (size, (1, *size), (3, *size))
    if pixels.shape not in expected:
        forms = " or ".join(map(str, expected))
        raise ValueError(f"image: got shape {pixels.shape}, expected {forms}; give one image of the masks' size")
    if pixels.dtype == np.uint8:
        pixels = pixels / 255
    low, high = min(0.0, float(pixels.min())), max(1.0, float(pixels.max()))
    pixels = at_place((pixels - low) / (high - low), place)
    if pixels.ndim == 2:
        return pixels
    return pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
