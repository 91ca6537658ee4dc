"""Shows segmentations at their latent positions, with the prior's contours and the graders' positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import IGNORE, Record
from fastpunet.hypotheses import LatentGrid
from fastpunet.optional import needed_for
from fastpunet.reports.crops import Window, window_around
from fastpunet.reports.figures import GRADER_COLOURS, HYPOTHESIS_COLOUR

with needed_for("drawing figures", "report"):
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, Ellipse
    from matplotlib.patheffects import AbstractPathEffect, withStroke

MOST_GRADERS = len(GRADER_COLOURS)
_WIDTH, _LEFT, _EDGE, _TITLES = (
    3.5,
    0.42,
    0.05,
    0.2,
)  # inches: width of one column of a paper; room for axis labels; edges; titles
_CONTOURS = (1, 2, 3)  # standard deviations of the prior
_NUMBER_SIZE = 0.05  # diameter of a grader's number, as a share of the grid's width
_HALO: list[AbstractPathEffect] = [withStroke(linewidth=2, foreground="black")]
_POSTERIOR: dict[str, Any] = {"linewidth": 0.9, "path_effects": _HALO}


def latent_figure(
    grid: LatentGrid, record: Record, num_classes: int, axis_names: Sequence[str], noun: str = "grader"
) -> Figure:
    """Draw the graders' segmentations in a row, and below them those of the grid, each at its latent position.

    Each grader's number is at the mean of the posterior for that grader's segmentation, in an ellipse of one standard
    deviation. Numbers that would cover each other are moved apart, and a line connects each to its position. There are
    at most four graders. Binary masks are outlined, and the image is cropped around them. Label maps of several classes
    are painted over the image. noun: the name of the numbered segmentations, such as "grader".
    """
    hypotheses = grid.hypotheses.cpu().numpy()
    binary = num_classes == 1
    everything = np.concatenate((record.masks, hypotheses.reshape(-1, *hypotheses.shape[2:])))
    window = window_around(everything) if binary else (slice(None), slice(None))
    picture = _Picture(record.image, window, num_classes)
    shape = picture.crop.shape[0] / picture.crop.shape[1]
    columns = 1 + len(record.masks)
    row = (_WIDTH - 2 * _EDGE) / columns * shape
    side = (_WIDTH - _LEFT - _EDGE) * shape
    figure = Figure(figsize=(_WIDTH, _TITLES + row + side + _LEFT), dpi=300)
    _draw_graders(figure, picture, record.masks, row, noun)
    height = figure.get_figheight()
    axis = figure.add_axes((_LEFT / _WIDTH, _LEFT / height, 1 - (_LEFT + _EDGE) / _WIDTH, side / height))
    _draw_grid(axis, picture, grid, hypotheses)
    axis.set_aspect(shape)
    _draw_contours(axis)
    _draw_posteriors(axis, grid)
    labels = [
        f"{name} (σ), {share:.1%} of the change"  # noqa: RUF001
        for name, share in zip(axis_names, grid.shares.tolist(), strict=True)
    ]
    axis.set_xlabel(labels[0], fontsize=7, labelpad=1)
    axis.set_ylabel(labels[1], fontsize=7, labelpad=1)
    axis.tick_params(labelsize=6.5, length=2, pad=1.5)
    return figure


class _Picture:
    """A cropped image on which label maps are drawn."""

    def __init__(self, image: NDArray[np.float32], window: Window, num_classes: int) -> None:
        grey_or_rgb = image if len(image) == 3 else image[:1].repeat(3, axis=0)
        self.window, self.binary = window, num_classes == 1
        self.crop = grey_or_rgb.clip(0, 1).transpose(1, 2, 0)[window]
        self.palette = np.zeros((256, 4))
        if self.binary:
            self.palette[1] = (*HYPOTHESIS_COLOUR, 0.3)
        else:
            colours = colormaps["tab20"](np.arange(num_classes) % 20)
            self.palette[:num_classes] = np.concatenate((colours[:, :3], np.full((num_classes, 1), 0.65)), axis=1)
        self.palette[IGNORE] = 0

    def draw(
        self, axis: Axes, labels: NDArray[np.uint8], *, colour: Any, width: float, painted: bool, **place: Any
    ) -> None:
        labels = labels[self.window]
        paint = self.palette[labels] if painted else np.zeros((*labels.shape, 4))
        alpha = paint[..., 3:]
        axis.imshow(self.crop * (1 - alpha) + paint[..., :3] * alpha, interpolation="none", **place)
        foreground = labels == 1
        if self.binary and foreground.any() and not foreground.all():
            origin = "upper" if "extent" in place else None  # imshow's default
            axis.contour(foreground, levels=[0.5], colors=[colour], linewidths=width, origin=origin, **place)


def _draw_graders(figure: Figure, picture: _Picture, masks: NDArray[np.uint8], row: float, noun: str) -> None:
    height, width = figure.get_figheight(), (_WIDTH - 2 * _EDGE) / (1 + len(masks))
    bottom = (height - _TITLES - row) / height
    for k in range(1 + len(masks)):
        place = ((_EDGE + k * width) / _WIDTH, bottom, 0.96 * width / _WIDTH, 0.96 * row / height)
        cell = figure.add_axes(place, xticks=[], yticks=[])
        cell.spines[:].set_visible(False)
        cell.set_title("image" if k == 0 else f"{noun} {k - 1}", fontsize=7, pad=2)
        if k == 0:
            cell.imshow(picture.crop, interpolation="none")
        else:
            colour = GRADER_COLOURS[k - 1]
            picture.draw(cell, masks[k - 1], colour=colour, width=1.2, painted=not picture.binary)


def _draw_grid(axis: Axes, picture: _Picture, grid: LatentGrid, hypotheses: NDArray[np.uint8]) -> None:
    steps = grid.steps.cpu().numpy()
    half = (steps[1] - steps[0]) / 2
    reach = 0.97 * half
    for i, x in enumerate(steps):
        for j, y in enumerate(steps):
            extent = (x - reach, x + reach, y - reach, y + reach)
            picture.draw(axis, hypotheses[i, j], colour=HYPOTHESIS_COLOUR, width=0.6, painted=True, extent=extent)
    farthest = max([1.1 * float(grid.grader_positions.abs().max())] if len(grid.grader_positions) else [0.0])
    end = max(float(steps[-1] + half), farthest)
    axis.set(xlim=(-end, end), ylim=(-end, end), facecolor="#2b3036")


def _draw_contours(axis: Axes) -> None:
    style: dict[str, Any] = {"color": "white", "path_effects": _HALO}
    for radius in _CONTOURS:
        axis.add_patch(Circle((0, 0), radius, fill=False, linewidth=0.8, linestyle=(0, (4, 2)), **style))
        at = radius * np.sqrt(0.5)
        axis.text(at, at, f"{radius}σ", fontsize=6, ha="center", va="center", **style)  # noqa: RUF001


def _draw_posteriors(axis: Axes, grid: LatentGrid) -> None:
    positions = grid.grader_positions.cpu().numpy()
    gap = _NUMBER_SIZE * float(np.ptp(axis.get_xlim()))
    covariances = grid.grader_covariances.cpu().numpy()
    for k, (position, covariance, place) in enumerate(zip(positions, covariances, _apart(positions, gap), strict=True)):
        colour = GRADER_COLOURS[k]
        variances, directions = np.linalg.eigh(covariance)
        angle = np.degrees(np.arctan2(directions[1, 0], directions[0, 0]))
        width, height = 2 * np.sqrt(variances.clip(min=0))  # rounding can make a variance of almost 0 negative
        axis.add_patch(Ellipse(tuple(position), width, height, angle=angle, fill=False, edgecolor=colour, **_POSTERIOR))
        axis.plot(*np.stack((position, place)).T, "-", color=colour, linewidth=0.9)
        axis.plot(*position, ".", color=colour, markersize=3)
        box: dict[str, Any] = {
            "boxstyle": "circle,pad=0.15",
            "facecolor": colour,
            "edgecolor": "black",
            "linewidth": 0.6,
        }
        axis.text(place[0], place[1], str(k), fontsize=6.5, ha="center", va="center", bbox=box, zorder=5)


def _apart(positions: NDArray[np.float32], gap: float) -> NDArray[np.float64]:
    """Points (M, 2) near the positions, any two of them at a distance of at least about `gap`."""
    count = len(positions)
    angles = 2 * np.pi * np.arange(count) / max(1, count)
    places = positions + 1e-3 * gap * np.stack(
        (np.cos(angles), np.sin(angles)), axis=1
    )  # separates equal positions too
    for _ in range(200):
        apart = places[:, None] - places[None]
        distance = np.linalg.norm(apart, axis=-1) + np.diag(np.full(count, np.inf))
        push = np.clip(gap - distance, 0, None) / 2
        if not push.any():
            break
        places = places + (apart / distance[..., None] * push[..., None]).sum(1)
    return np.asarray(places, dtype=np.float64)
