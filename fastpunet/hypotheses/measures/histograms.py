"""Histograms of measures, drawn with Matplotlib. Import this module where a picture is wanted, not before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from fastpunet.hypotheses.display import percent
from fastpunet.hypotheses.measures.estimates import of_hypotheses, title, with_unit
from fastpunet.hypotheses.pictures import COLOURS, new_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastpunet.hypotheses.measures.result import Measures

BAR_COLOUR, THRESHOLD_COLOUR, _INK = COLOURS[0], COLOURS[5], "#222222"
_MOST_COLUMNS = 4
_BARS, _MOST_DISTINCT = 30, 12
_LEGEND = "of those that are not empty: black the median, shaded 5 % to 95 %"


def draw(measures: Measures, names: Sequence[str], image: int, threshold: float | None, label: int | None) -> Figure:
    """See `Measures.plot`."""
    images, classes = measures.empty.shape[0], measures.empty.shape[2:]
    if not -images <= image < images:
        raise IndexError(f"image: got {image}, expected less than the number of images, {images}")
    if classes and label not in range(classes[0]):
        raise ValueError(f"label: got {label!r}, expected a class, 0 .. {classes[0] - 1}")
    if not classes and label is not None:
        raise ValueError(f"label: got {label!r}, expected None, since the masks are binary")
    if threshold is not None and len(names) > 1:
        raise ValueError("threshold: got one for several measures; name the measure that it belongs to")
    columns = min(len(names), _MOST_COLUMNS)
    figure, axes = new_picture(-(-len(names) // columns), columns, side=2.6 if len(names) > 1 else 3.6)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    place = (image,) if label is None else (image, label)
    for axis, name in zip(figure.axes, names, strict=False):
        _draw_one(axis, measures, name, place, threshold)
    figure.supxlabel(_LEGEND, fontsize=7)
    return figure


def _draw_one(axis: Axes, measures: Measures, name: str, place: tuple[int, ...], threshold: float | None) -> None:
    values, unit = of_hypotheses(measures.values[name], place), measures.units[name]
    present = values[~(of_hypotheses(measures.empty, place) | values.isnan())]
    axis.set_xlabel(f"{title(name)} ({unit})" if unit else title(name), fontsize=8)
    axis.set_ylabel("share of hypotheses", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    if len(present):
        _draw_bars(axis, present, len(values))
        _draw_quantiles(axis, present)
    lines = [f"{percent(1 - len(present) / len(values))} empty"] if len(present) < len(values) else []
    if threshold is not None:
        found = measures.probability(name, ">=", threshold)
        p, low, high = (float(part[place]) for part in (found.probability, found.low, found.high))
        lines.append(f"P(>= {with_unit(f'{threshold:g}', unit)}) = {p:.2f} [{low:.2f}, {high:.2f}]")
        axis.axvline(threshold, color=THRESHOLD_COLOUR, linestyle="--", linewidth=1.5)
    axis.set_title("\n".join(lines), fontsize=8, loc="left")


def _draw_bars(axis: Axes, values: Tensor, n: int) -> None:
    """Bars whose heights are shares of all n hypotheses; a bar for each value if there are few different ones."""
    distinct, counts = values.unique(return_counts=True)
    if len(distinct) <= _MOST_DISTINCT:
        gap = float(distinct.diff().min()) if len(distinct) > 1 else 1.0
        axis.bar(distinct.tolist(), (counts / n).tolist(), width=0.8 * gap, color=BAR_COLOUR)
    else:
        axis.hist(values.tolist(), bins=_BARS, weights=[1 / n] * len(values), color=BAR_COLOUR)


def _draw_quantiles(axis: Axes, values: Tensor) -> None:
    low, median, high = values.quantile(values.new_tensor([0.05, 0.5, 0.95])).tolist()
    axis.axvline(median, color=_INK, linewidth=1.5)
    axis.axvspan(low, high, color=_INK, alpha=0.1, linewidth=0, zorder=0)
