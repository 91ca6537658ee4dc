"""The figures of a comparison. Each is as wide as one column of a paper."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np

from fastpunet.optional import needed_for
from fastpunet.reports.figures import LINE_COLOURS
from fastpunet.scoring.evaluation import Evaluated
from fastpunet.scoring.perfect import PERFECT
from fastpunet.scoring.registry import WINNER

with needed_for("drawing figures", "report"):
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEWEST = 20  # the smallest number of predictions for which a bin is shown
_WIDTH = 3.5  # inches: one column of a paper


def energy_boxes(results: Mapping[str, Evaluated], ns: list[int]) -> Figure:
    """The distribution of the energy distance (V) over images: a group of boxes for each n, a box for each method.

    Boxes show the quartiles, whiskers the 5th and 95th percentiles, and diamonds the mean with its interval over
    patients.
    """
    figure, axis = _figure(2.9)
    width = 0.86 / len(results)
    for m, ((name, result), colour) in enumerate(zip(results.items(), cycle(LINE_COLOURS))):
        there = [i for i, n in enumerate(ns) if n in result.ns]
        places = [i + (m - (len(results) - 1) / 2) * width for i in there]
        values = [np.concatenate([part.scores[ns[i]][WINNER] for part in result.checkpoints]) for i in there]
        axis.boxplot(
            [column[~np.isnan(column)] for column in values],
            positions=places,
            widths=0.8 * width,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": colour, "alpha": 0.45, "linewidth": 0.5},
            medianprops={"color": "black", "linewidth": 0.6},
            whiskerprops={"linewidth": 0.5},
            capprops={"linewidth": 0.5},
        )
        means = np.array([result.estimate(ns[i], WINNER)[:3] for i in there])
        spans = np.abs(means[:, 1:] - means[:, :1]).T
        axis.errorbar(
            places, means[:, 0], spans, fmt="D", color=colour, markersize=2.6, mec="black", mew=0.4, ecolor="black"
        )
        axis.plot([], [], "D", color=colour, markersize=4, label=name)
    axis.set_xticks(range(len(ns)), [str(n) for n in ns])
    axis.set_xlabel("hypotheses per image", fontsize=7)
    axis.set_ylabel("energy distance (V)", fontsize=7)
    axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
    _legend(figure)
    return figure


def energy_curves(results: Mapping[str, Evaluated], perfect: Evaluated | None) -> Figure:
    """The mean energy distance (V) against the number of hypotheses, with intervals, and that of a perfect model."""
    figure, axis = _figure(2.7)
    for (name, result), colour in zip(results.items(), cycle(LINE_COLOURS)):
        ns = sorted(result.ns)
        means = np.array([result.estimate(n, WINNER)[:3] for n in ns])
        axis.fill_between(ns, means[:, 1], means[:, 2], color=colour, alpha=0.15, linewidth=0)
        axis.plot(ns, means[:, 0], "o-", color=colour, markersize=2.5, linewidth=1.1, label=name)
    if perfect is not None:
        floor = {n: perfect.estimate(n, WINNER).value for n in sorted(perfect.ns)}
        axis.plot(list(floor), list(floor.values()), "k--", linewidth=1.1, label=PERFECT)
    axis.set_xscale("log")
    ticks = sorted({n for result in results.values() for n in result.ns})
    axis.set_xticks(ticks, [str(n) for n in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlabel("hypotheses per image", fontsize=7)
    axis.set_ylabel("energy distance (V)", fontsize=7)
    axis.set_ylim(bottom=0)
    _legend(figure)
    return figure


def reliability_diagrams(results: Mapping[str, Evaluated], n: int) -> Figure:
    """The share of graders against the share of n hypotheses that give a pixel its class, or that outline anything.

    Each bin with at least `_FEWEST` predictions has a point, which lies on the diagonal if the shares agree. Each
    checkpoint of a method has its own line, because errors of different seeds would cancel in a common one.
    """
    titles = {"pixel_calibration_error": "a pixel has the class", "presence_calibration_error": "anything is outlined"}
    names = [name for name in titles if all(result.has(n, name) for result in results.values())]
    figure = Figure(figsize=(_WIDTH, 2.45 if len(names) == 2 else 4.2), dpi=300, layout="constrained")
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axis.plot([0, 1], [0, 1], "k--", linewidth=0.8)
        for (model, result), colour in zip(results.items(), cycle(LINE_COLOURS)):
            for place, part in enumerate(result.checkpoints):
                count, predicted, observed = np.nansum(part.scores[n][name], 0)
                enough = count >= _FEWEST
                points = predicted[enough] / count[enough], observed[enough] / count[enough]
                label = model if place == 0 else None
                axis.plot(*points, "o-", color=colour, markersize=2, linewidth=0.8, alpha=0.8, label=label)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axis.set_title(titles[name], fontsize=7)
        axis.set_xlabel("share of hypotheses", fontsize=7)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share of graders", fontsize=7)
    _legend(figure)
    return figure


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), dpi=300, layout="constrained")
    axis = figure.subplots()
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _legend(figure: Figure) -> None:
    handles, names = figure.axes[0].get_legend_handles_labels()
    style = {"fontsize": 6.5, "handlelength": 1.2, "columnspacing": 1, "frameon": False}
    figure.legend(handles, names, loc="outside upper center", ncols=2, **style)
