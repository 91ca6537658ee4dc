"""Shows hypotheses of several methods for the same images, with a row for each method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import IGNORE, Records
from fastpunet.optional import needed_for
from fastpunet.reports.contenders import Contenders
from fastpunet.reports.crops import window_around
from fastpunet.reports.figures import GRADER_COLOURS
from fastpunet.scoring.drawing import draw_from
from fastpunet.scoring.sources import available
from fastpunet.scoring.volume_slices import fullest_slice, sliced

with needed_for("drawing figures", "report"):
    from matplotlib.figure import Figure

_IMAGES, _SHOWN = 2, 8
_WIDTH, _NAMES = 3.5, 0.8  # inches: width of one column of a paper; room for the methods' names
_NAME_LETTERS = 14  # number of letters that fit on one line there
_HYPOTHESIS_COLOUR = "#56B4E9"


@dataclass(frozen=True)
class Picture:
    """One image, its graders' masks (M, H, W), and each method's first hypotheses (n, H, W)."""

    image: NDArray[np.float32]  # (H, W)
    graders: NDArray[np.uint8]
    hypotheses: dict[str, NDArray[np.uint8]]


def draw_pictures(paths: Mapping[str, str], contenders: Contenders) -> list[Picture]:
    """Draw the first hypotheses of every contender, by name and path, for the images that graders disagree on most."""
    pictures: list[Picture] = []
    places: list[int] = []
    for name, path in paths.items():
        contender = contenders.open(path)
        records = contender.records
        places = places or _disputed(records)
        chosen = [records[place] for place in places]
        slices = [fullest_slice(record) for record in chosen]
        if not pictures:
            pictures = [
                Picture(sliced(record.image, k)[0], sliced(record.masks, k), {})
                for record, k in zip(chosen, slices, strict=True)
            ]
        batches = draw_from(contender.source, chosen, available(contender.source, _SHOWN), batch_size=1)
        for drawn, picture, k in zip(batches, pictures, slices, strict=True):
            picture.hypotheses[name] = sliced(drawn.samples.unpack()[0].cpu().numpy(), k)
    return pictures


def sample_grid(pictures: Sequence[Picture]) -> Figure:
    """For each picture, draw a row with image and graders, then a row for each method, cropped around the masks."""
    rows = [row for picture in pictures for row in _rows(picture)]
    side = (_WIDTH - _NAMES) / _SHOWN
    figure = Figure(figsize=(_WIDTH, side * len(rows)), dpi=300)
    axes = figure.subplots(len(rows), _SHOWN, squeeze=False)
    figure.subplots_adjust(left=_NAMES / _WIDTH, right=1, bottom=0, top=1, wspace=0.05, hspace=0.05)
    for cells, (name, image, masks, colours) in zip(axes, rows, strict=True):
        cells[0].set_ylabel(fill(name, _NAME_LETTERS), fontsize=6, rotation=0, ha="right", va="center", labelpad=3)
        for cell, mask, colour in zip(cells, masks, colours, strict=False):
            cell.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            if mask is None:
                continue
            drawn = (mask > 0) & (mask != IGNORE)
            if not drawn.any():
                cell.text(0.5, 0.04, "nothing", transform=cell.transAxes, color=colour, fontsize=5, ha="center")
            elif not drawn.all():
                cell.contour(drawn, levels=[0.5], colors=[colour], linewidths=0.8)
        for k, cell in enumerate(cells):
            cell.set(xticks=[], yticks=[])
            cell.spines[:].set_visible(False)
            cell.patch.set_visible(k < len(masks))
    return figure


def _rows(picture: Picture) -> Iterator[tuple[str, NDArray[Any], list[NDArray[np.uint8] | None], list[str]]]:
    """Name, image, masks and colours of each row. The first cell of the graders' row is the image without a mask."""
    everything = np.concatenate((picture.graders, *picture.hypotheses.values()))
    window = window_around(everything)
    image = picture.image[window]
    graders = _cut(picture.graders[: len(GRADER_COLOURS)], window)
    yield "image, graders", image, [None, *graders], ["black", *GRADER_COLOURS]
    for name, masks in picture.hypotheses.items():
        yield name, image, [*_cut(masks, window)], [_HYPOTHESIS_COLOUR] * len(masks)


def _cut(masks: NDArray[np.uint8], window: tuple[slice, slice]) -> NDArray[np.uint8]:
    rows, columns = window
    return masks[:, rows, columns]


def _disputed(records: Records) -> list[int]:
    """Indices of the images whose graders disagree most: about half of them outline something, and it is large."""
    shares = []
    for record in records:
        foreground = (record.masks > 0) & (record.masks != IGNORE)
        drawn = [mask for mask in foreground if mask.any()]
        area = np.mean(drawn) if drawn else 0.0
        share = len(drawn) / max(1, len(record.masks))  # an image that nobody annotated comes last
        shares.append(share * (1 - share) * area if len(record.masks) else -1.0)
    return sorted(range(len(records)), key=lambda place: -shares[place])[:_IMAGES]
