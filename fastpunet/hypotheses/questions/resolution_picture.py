"""Draws the best question about one image with Matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastpunet.hypotheses.display import percent
from fastpunet.hypotheses.pictures import (
    COLOURS,
    Picture,
    at_place,
    draw_outline,
    new_picture,
    place_to_show,
    show_image,
)
from fastpunet.hypotheses.questions.resolution import Resolution

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_ASKED = "#FFFFFF"


def resolution_picture(resolution: Resolution, image: object) -> Picture:
    """The modes and what the best question asks about; the pixels' information; the modes before and after it."""
    size = tuple(resolution.regions.shape)
    asked = resolution.best.pixels
    place = place_to_show(resolution.modes.masks if asked is None else asked, len(size))
    figure, axes = new_picture(1, 3, side=2.6)
    where, information, bars = axes[0]
    show_image(where, image, size, place)
    for k, mask in enumerate(at_place(resolution.modes.masks > 0, place)):
        draw_outline(where, mask, COLOURS[k % len(COLOURS)], width=1.0)
    if asked is not None:
        draw_outline(where, at_place(asked, place), _ASKED, width=2.5)
    where.set_title("modes; in white, what to ask about", fontsize=9)
    show_image(information, None, size)
    shown = information.imshow(
        at_place(resolution.pixel_information, place), vmin=0, cmap="magma", interpolation="nearest"
    )
    information.set_title("a pixel's information (bits)", fontsize=9)
    figure.colorbar(shown, ax=information, shrink=0.75).ax.tick_params(labelsize=7)
    _draw_bars(bars, resolution)
    return figure


def _draw_bars(axes: Axes, resolution: Resolution) -> None:
    """A bar of the modes' probabilities before the question, and one for each answer."""
    best = resolution.best
    rows = [resolution.modes.probabilities.tolist(), *best.modes.tolist()]
    names = [
        "before",
        *(f"{answer}\n({percent(p)})" for answer, p in zip(best.answers, best.probabilities.tolist(), strict=True)),
    ]
    left = np.zeros(len(rows))
    for k, name in enumerate(resolution.modes.names):
        widths = np.array([row[k] for row in rows])
        axes.barh(range(len(rows)), widths, left=left, color=COLOURS[k % len(COLOURS)], label=name)
        left += widths
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xticks=[])
    axes.spines[:].set_visible(False)
    axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0), frameon=False)
    axes.set_title("modes before and after the answer", fontsize=9)
