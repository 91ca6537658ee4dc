"""Draws summaries with Matplotlib: outlines first, maps after them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from fastpunet.hypotheses.display import percent
from fastpunet.hypotheses.pictures import (
    INNER_COLOUR,
    OUTER_COLOUR,
    Picture,
    at_place,
    draw_outline,
    new_picture,
    place_to_show,
    show_image,
)
from fastpunet.hypotheses.summaries.summary import INNER, OUTER, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_ROWS = 4


def summary_picture(summary: Summary, images: object) -> Picture:
    """A row for each of the first four images."""
    count, size = len(summary.mean), tuple(summary.mean.shape[2:])
    backgrounds = _backgrounds(images, count)
    shown = min(count, _ROWS)
    figure, axes = new_picture(shown, 4, side=2.3)
    for place, cells in enumerate(axes):
        _draw(summary, place, size, backgrounds[place], cells)
        cells[0].set_ylabel(f"image {place}" if count > 1 else "", fontsize=9)
    titles = (f"p ≥ {INNER} (yellow), p ≥ {OUTER} (blue)", "mean probability", "entropy (nats)", "sizes")
    for cell, title in zip(axes[0], titles, strict=True):
        cell.set_title(title, fontsize=9)
    axes[-1, -1].set_xlabel("pixels" if len(size) == 2 else "voxels", fontsize=8)
    return figure


def _draw(summary: Summary, place: int, size: tuple[int, ...], image: object, cells: list[Axes]) -> None:
    probability = summary.foreground[place]
    slice_shown = place_to_show(probability >= OUTER, len(size))
    outlines, mean, entropy, sizes = cells
    show_image(outlines, image, size, slice_shown)
    for least, colour in ((OUTER, OUTER_COLOUR), (INNER, INNER_COLOUR)):
        draw_outline(outlines, at_place(probability >= least, slice_shown), colour)
    classes = max(2, summary.mean.shape[1])
    for cell, values, most, colours in (
        (mean, probability, 1, "magma"),
        (entropy, summary.entropy[place], math.log(classes), "viridis"),
    ):
        cell.imshow(at_place(values, slice_shown), vmin=0, vmax=most, cmap=colours, interpolation="nearest")
        cell.set(xticks=[], yticks=[])
    _draw_sizes(sizes, summary.foreground_volume[place])


def _draw_sizes(axes: Axes, volumes: Tensor) -> None:
    there = volumes[volumes > 0].cpu().numpy()
    axes.hist(there, bins=min(30, max(1, len(np.unique(there)))), color=OUTER_COLOUR)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.text(
        0.97,
        0.95,
        f"something in {percent(len(there) / len(volumes))}",
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=8,
    )


def _backgrounds(images: object, count: int) -> list[object]:
    if images is None:
        return [None] * count
    listed = list(images)  # type: ignore[call-overload]
    if len(listed) != count:
        raise ValueError(f"images: got {len(listed)} images, expected {count}, those that were summarised")
    return listed
