"""Draws the modes of one image with Matplotlib."""

from __future__ import annotations

from fastpunet.hypotheses.alternatives.mode_result import Modes
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


def modes_picture(modes: Modes, image: object) -> Picture:
    """A row of pictures: all modes outlined on the image, then each alone under its probability."""
    size = tuple(modes.masks.shape[1:])
    place = place_to_show(modes.masks, len(size))
    masks = at_place(modes.masks > 0, place)
    figure, axes = new_picture(1, 1 + len(modes), side=2.2)
    together, *alone = axes[0]
    show_image(together, image, size, place)
    together.set_title("all modes", fontsize=9)
    for k, axis in enumerate(alone):
        colour = COLOURS[k % len(COLOURS)]
        show_image(axis, image, size, place)
        draw_outline(axis, masks[k], colour)
        draw_outline(together, masks[k], colour)
        axis.set_title(f"{percent(float(modes.probabilities[k]))}: {modes.names[k]}", fontsize=9)
    return figure
