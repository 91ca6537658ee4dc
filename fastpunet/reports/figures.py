"""Pictures of hypotheses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastpunet.files import replacing
from fastpunet.optional import needed_for
from fastpunet.reports.outputs import check_writable

with needed_for("drawing figures", "report"):
    from matplotlib import colormaps, rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRADER_COLOURS = (
    "#56B4E9",
    "#E69F00",
    "#CC79A7",
    "#F0E442",
)  # by Okabe and Ito, distinguishable for colour-blind readers
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
FIGURE_FORMATS = (".png", ".pdf", ".svg")
HYPOTHESIS_COLOUR = np.array([0.0, 0.86, 0.66])
_INK, _PAPER, _MUTED = "#f2f2f2", "#111418", "#9aa4ad"


@dataclass(frozen=True)
class FigureRow:
    """One image of a hypothesis figure."""

    image: NDArray[np.float32]  # (H, W) in [0, 1]
    graders: NDArray[np.uint8]  # (M, H, W), the reference masks; at most four are drawn
    hypotheses: NDArray[np.uint8]  # (n, H, W)
    mean: NDArray[np.float32]  # (H, W), mean probability
    entropy: NDArray[np.float32]  # (H, W), nats
    caption: str  # a few short lines


def hypothesis_figure(rows: Sequence[FigureRow], title: str, graders_title: str, shown: int = 6) -> Figure:
    """A row for each image: the image, the graders' outlines, `shown` hypotheses, mean probability and entropy."""
    columns = shown + 4
    figure = Figure(figsize=(1.55 * columns, 1.42 * len(rows) + 0.75), dpi=150, facecolor=_PAPER)
    axes = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.1})
    figure.subplots_adjust(left=0.085, right=0.995, bottom=0.02, top=1 - 0.72 / figure.get_figheight())
    figure.suptitle(title, color=_INK, fontsize=13, x=0.012, ha="left", y=1 - 0.1 / figure.get_figheight(), va="top")
    titles = ["image", graders_title, *(f"hypothesis {k + 1}" for k in range(shown))]
    titles += ["mean probability\ndark 0, bright 1", f"entropy\ndark 0, bright {np.log(2):.2f} nats"]
    for axis, name in zip(axes[0], titles, strict=True):
        axis.set_title(name, color=_MUTED, fontsize=8.5, pad=5)
    for row, cells in zip(rows, axes, strict=True):
        _draw_row(row, cells, shown)
    return figure


def check_figure_path(name: str, path: str | os.PathLike[str]) -> Path:
    """Return the path if a figure can be written there. Missing folders are made when it is written.

    Raises ValueError, naming the argument, if nothing can be written there or the format is not supported.
    """
    file = Path(path)
    if file.suffix.lower() not in FIGURE_FORMATS:
        raise ValueError(f"{name}: got {str(path)!r}, expected a name that ends in {', '.join(FIGURE_FORMATS)}")
    check_writable(name, file)
    return file


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write PNG, PDF or SVG, by the path's extension, whole or not at all. Raises ValueError for any other format."""
    target = check_figure_path("path", path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file, rc_context({"pdf.fonttype": 42}):
        # TrueType fonts, because journals reject the default, Type 3
        figure.savefig(file, format=file.suffix[1:].lower(), facecolor=figure.get_facecolor())


def _draw_row(row: FigureRow, cells: NDArray[np.object_], shown: int) -> None:
    for axis in cells:
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
    cells[0].set_ylabel(row.caption, color=_MUTED, fontsize=7.5, rotation=0, ha="right", va="center", labelpad=6)
    _show_grey(cells[0], row.image)
    _show_grey(cells[1], row.image)
    for mask, colour in zip(row.graders[:4], GRADER_COLOURS, strict=False):
        _outline(cells[1], mask, colour)
    for k in range(shown):
        _show_overlay(cells[2 + k], row.image, row.hypotheses[k])
    cells[-2].imshow(row.mean, cmap=colormaps["magma"], vmin=0, vmax=1, interpolation="nearest")
    cells[-1].imshow(row.entropy, cmap=colormaps["viridis"], vmin=0, vmax=np.log(2), interpolation="nearest")


def _show_grey(axis: Axes, image: NDArray[np.float32]) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _show_overlay(axis: Axes, image: NDArray[np.float32], mask: NDArray[np.uint8]) -> None:
    grey = np.repeat(image[..., None], 3, axis=-1)
    alpha = 0.45 * mask[..., None]
    axis.imshow(grey * (1 - alpha) + HYPOTHESIS_COLOUR * alpha, interpolation="nearest")
    if mask.any():
        _outline(axis, mask, "#00dba8")
    else:
        axis.text(0.5, 0.06, "nothing", color=_MUTED, fontsize=7.5, ha="center", transform=axis.transAxes)


def _outline(axis: Axes, mask: NDArray[np.uint8], colour: str) -> None:
    if mask.any() and not mask.all():
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.1)
