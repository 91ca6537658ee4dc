"""Draws the gallery of docs/results/modes.md: radiologists beside the modes of a thousand hypotheses.

python -m benchmarks.modes_gallery DIR/lidc_tiny_test_64.npz docs/results/modes-lidc-tiny.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import fastpunet
from fastpunet.data import Record, lidc
from fastpunet.hypotheses import Modes, modes
from fastpunet.hypotheses.display import percent
from fastpunet.hypotheses.pictures import INNER_COLOUR, OUTER_COLOUR, draw_outline
from fastpunet.hypotheses.summaries.summary import INNER, OUTER
from fastpunet.reports.crops import Window, window_around
from fastpunet.reports.figures import GRADER_COLOURS, save_figure

ROWS, N, SEED, MOST = 8, 1000, 0, 5
SPACING = 0.5  # mm
BAR = 5  # mm
SIDE, LABELS, HEAD, FOOT = 1.0, 0.75, 0.42, 0.3  # inches: a picture, room for labels, titles and legend
LEGEND = (
    f"Bars: {BAR} mm. Percentages: shares of {N} hypotheses. Last column: foreground with a probability of at least "
    f"{INNER} (yellow, certain) and {OUTER} (blue, possible)."
)
MODE_COLOUR = "#56B4E9"
WIDTHS = (2.4, 1.8, 1.2, 0.7)  # of graders' outlines, so that those below still show


def choose(records: Sequence[Record]) -> list[Record]:
    """Of the slices that at least two radiologists outline, some evenly spaced in order of the mean area."""
    outlined = [record for record in records if record.masks.any((1, 2)).sum() >= 2]
    by_area = sorted(outlined, key=lambda record: record.masks.sum() / record.masks.any((1, 2)).sum())
    return [by_area[int(place)] for place in np.linspace(0, len(by_area) - 1, ROWS + 2)[1:-1]]


def gallery(records: Sequence[Record]) -> Figure:
    model = fastpunet.load("lidc-tiny")
    columns = MOST + 2
    height = HEAD + ROWS * (SIDE + 0.2) + FOOT
    figure = Figure(figsize=(LABELS + columns * (SIDE + 0.05), height), dpi=150)
    cells = figure.subplots(len(records), columns)
    figure.subplots_adjust(
        left=LABELS / figure.get_figwidth(), right=0.995, bottom=FOOT / height, top=1 - HEAD / height
    )
    figure.subplots_adjust(wspace=0.05, hspace=0.22)
    for row, record in zip(cells, records, strict=True):
        image, ids = torch.from_numpy(record.image)[None], torch.tensor([record.id])
        masks = fastpunet.sample(model, image, N, seed=SEED, ids=ids)
        mean = fastpunet.summarize(model, image, N, seed=SEED, ids=ids).mean[0, 0].numpy()
        draw_row(row, record, modes(masks, most=MOST)[0], mean)
    titles = ("radiologists", "most probable", "2nd mode", "3rd", "4th", "5th", "certain, possible")
    for cell, title in zip(cells[0], titles, strict=True):
        at = cell.get_position()
        figure.text(at.x0 + at.width / 2, 1 - 0.06 / height, title, ha="center", va="top", fontsize=8, weight="bold")
    figure.text(0.01, 0.06 / height, LEGEND, fontsize=7, va="bottom")
    return figure


def draw_row(cells: Sequence[Axes], record: Record, found: Modes, mean: NDArray[np.float32]) -> None:
    possible = (mean >= OUTER)[None].astype(np.uint8)
    window = window_around(np.concatenate((record.masks, found.masks.numpy(), possible)))
    graders, *alternatives, certain = cells
    for cell in cells:
        show(cell, record, window)
    count = int(record.masks.any((1, 2)).sum())
    graders.set_title(f"{count} of {len(record.masks)} outline", fontsize=7, pad=2)
    for mask, colour, width in zip(record.masks, GRADER_COLOURS, WIDTHS, strict=True):
        draw_outline(graders, mask[window], colour, width=width)
    draw_bar(graders, window)
    graders.set_ylabel(f"slice {record.id}", fontsize=7, rotation=0, ha="right", va="center")
    for k, cell in enumerate(alternatives):
        if k >= len(found):
            cell.set_visible(False)
            continue
        mask = found.masks[k].numpy()
        cell.set_title(f"{percent(float(found.probabilities[k]))}: {size_of(mask)}", fontsize=7, pad=2)
        draw_outline(cell, mask[window], MODE_COLOUR, width=1.6)
    there = (found.masks > 0).flatten(1).any(1)
    certain.set_title(f"anything: {percent(float(found.probabilities[there].sum()))}", fontsize=7, pad=2)
    draw_outline(certain, (mean >= OUTER)[window], OUTER_COLOUR, width=1.6)
    draw_outline(certain, (mean >= INNER)[window], INNER_COLOUR, width=1.6)


def size_of(mask: NDArray[np.uint8]) -> str:
    area = mask.sum() * SPACING**2
    return "nothing" if area == 0 else f"{area:.1f} mm²" if area < 5 else f"{area:.0f} mm²"


def show(cell: Axes, record: Record, window: Window) -> None:
    crop = record.image[0][window]
    cell.imshow(crop, cmap="gray", vmin=crop.min(), vmax=crop.max(), interpolation="bilinear")
    cell.set(xticks=[], yticks=[])
    cell.spines[:].set_visible(False)


def draw_bar(cell: Axes, window: Window) -> None:
    """A bar of 5 mm at the lower left."""
    rows, length = window[0].stop - window[0].start, BAR / SPACING
    line: dict[str, Any] = {"color": "white", "linewidth": 1.6, "solid_capstyle": "butt"}
    cell.plot([1, 1 + length], [rows - 2.5, rows - 2.5], **line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", metavar="FILE")
    parser.add_argument("output", metavar="PNG")
    options = parser.parse_args()
    records = lidc.read_npz(options.data, intensity=fastpunet.load("lidc-tiny").intensity)
    save_figure(gallery(choose(records)), options.output)


if __name__ == "__main__":
    main()
