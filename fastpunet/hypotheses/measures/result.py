"""The measures of all hypotheses, and what can be asked of them."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastpunet.arguments import check_choice, is_number
from fastpunet.hypotheses.display import html_block, html_picture, html_table, percent
from fastpunet.hypotheses.intervals import check_level, quantile_ranks, wilson
from fastpunet.hypotheses.measures.estimates import (
    Probability,
    Quantiles,
    interval_text,
    number,
    of_hypotheses,
    places,
    title,
    with_unit,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RELATIONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt, "==": operator.eq}
_HEADERS = ("", "median [95 % interval]", "5 % to 95 % of the hypotheses")
_ROWS_SHOWN = 40


@dataclass(frozen=True, eq=False, repr=False)
class Measures:
    """Measures of n hypotheses of each of B images, as `measure` returns them.

    values  name -> float64 (B, n), or (B, n, K) with classes; NaN where a mask has no such number
    units   name -> "mm", "mm^2", "mm^3", "px", ..., or "" for pure numbers
    empty   bool (B, n) or (B, n, K), which masks are empty

    Intervals take the hypotheses to be independent draws, as they are unless another sampler was asked for.
    """

    values: dict[str, Tensor]
    units: dict[str, str]
    empty: Tensor

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.values)

    def probability(self, name: str, relation: str, threshold: float, *, interval: float = 0.95) -> Probability:
        """The share of all hypotheses whose measure is >=, >, <=, < or == the threshold, with its Wilson interval.

        A mask without a value, NaN, is on neither side: the diameter of an empty mask is neither >= 8 mm nor < 8 mm.
        The area and the number of components of an empty mask are 0, which counts like any other value.

        Raises ValueError, naming the argument, for measures that are not there and for other relations or thresholds.
        """
        values = self._of(name)
        check_choice("relation", relation, tuple(_RELATIONS))
        if not is_number(threshold):
            raise ValueError(f"threshold: got {threshold!r}, expected a number in the unit of {name}")
        check_level("interval", interval)
        count = _RELATIONS[relation](values, threshold).sum(1)
        statement = f"the {title(name)} is {relation} {with_unit(f'{threshold:g}', self.units[name])}"
        return Probability(statement, count.double() / values.shape[1], *wilson(count, values.shape[1], interval))

    def quantiles(
        self, name: str, q: Sequence[float] | float = (0.05, 0.5, 0.95), *, interval: float = 0.95
    ) -> Quantiles:
        """Quantiles of a measure over the hypotheses that are not empty, whose share stands beside them.

        q: shares of these hypotheses, such as 0.5 for the median. Between two hypotheses the quantile is interpolated
        as in `torch.quantile`. The intervals end at two of the sorted values and hold for any distribution (see
        `intervals.quantile_ranks`). Masks for which a function gave NaN count as empty ones.

        Raises ValueError, naming the argument, for measures that are not there and for q outside [0, 1].
        """
        values = self._of(name)
        wanted = tuple(q) if isinstance(q, Sequence) else (q,)
        if not wanted or not all(is_number(one) and 0 <= one <= 1 for one in wanted):
            raise ValueError(f"q: got {q!r}, expected shares from 0 to 1, such as (0.05, 0.5, 0.95)")
        check_level("interval", interval)
        counted = ~(self.empty | values.isnan())
        shape = (len(values), *values.shape[2:])
        found = torch.full((*shape, 3, len(wanted)), torch.nan, dtype=torch.float64)
        for place, _ in places(counted.any(1)):
            present = of_hypotheses(values, place)[of_hypotheses(counted, place)]
            if len(present):
                found[place] = _quantiles(present, wanted, interval)
        middle, low, high = found.unbind(-2)
        return Quantiles(name, self.units[name], wanted, middle, low, high, 1 - counted.double().mean(1))

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each hypothesis (and class), as a CSV writer or a data frame takes it.

        The keys are image, hypothesis, with classes also class, and the name and unit of every measure, as in
        "area_mm2". See `columns`.
        """
        columns = self.columns()
        numbers = [values.tolist() for values in self.values.values()]
        for image, of_image in enumerate(zip(*numbers, strict=True)):
            for hypothesis, its in enumerate(zip(*of_image, strict=True)):
                start = (image, hypothesis)
                if self.empty.ndim == 2:
                    yield dict(zip(columns, (*start, *its), strict=True))
                    continue
                for label, of_class in enumerate(zip(*its, strict=True)):
                    yield dict(zip(columns, (*start, label, *of_class), strict=True))

    def columns(self) -> tuple[str, ...]:
        """The keys of every row, in order."""
        start = ("image", "hypothesis") if self.empty.ndim == 2 else ("image", "hypothesis", "class")
        units = {name: unit.replace("^", "").replace(" ", "_") for name, unit in self.units.items()}
        return (*start, *(f"{name}_{units[name]}" if units[name] else name for name in self.names))

    def plot(
        self, name: str | None = None, *, image: int = 0, threshold: float | None = None, label: int | None = None
    ) -> Figure:
        """A histogram over the hypotheses of one image that are not empty, of one measure or, without a name, of all.

        It shows the quantiles at 5, 50 and 95 % and, if a threshold is given, the probability of at least that much.
        label: the class, of masks with several. Needs Matplotlib.

        Raises ValueError or IndexError, naming the argument, for what is not there.
        """
        from fastpunet.hypotheses.measures.histograms import draw

        if name is not None:
            check_choice("name", name, self.names)
        return draw(self, self.names if name is None else (name,), image, threshold, label)

    def __str__(self) -> str:
        lines = [list(_HEADERS), *self._table()]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADERS))]
        table = (
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )
        return "\n".join((self._sentence(), *table))

    __repr__ = __str__  # a thousand numbers say nothing

    def _repr_html_(self) -> str:
        picture = html_picture(self.plot, "histograms of the measures") if self.empty.ndim == 2 else ""
        return html_block(self._sentence(), html_table(_HEADERS, self._table()), picture)

    def _sentence(self) -> str:
        images, n = self.empty.shape[:2]
        of = f"of each of {images} images" if images > 1 else "of one image"
        text = f"{n} hypotheses {of}"
        if self.empty.ndim == 2:
            text += f", {percent(float(self.empty.double().mean()))} of them empty"
        return text

    def _table(self) -> list[list[str]]:
        rows = []
        for name in self.names:
            quantiles = self.quantiles(name)
            for place, words in places(quantiles.empty):
                lowest, median, highest = (float(value) for value in quantiles.values[place])
                ends = (float(part[place][1]) for part in (quantiles.low, quantiles.high))
                spread = f"{number(lowest, highest)} to {number(highest, lowest)}" if median == median else "-"
                cells = (interval_text(median, *ends), spread)
                rows.append(
                    [f"{words}{title(name)}", *(c if c == "-" else with_unit(c, self.units[name]) for c in cells)]
                )
        if len(rows) > _ROWS_SHOWN:
            rows = [*rows[:_ROWS_SHOWN], [f"and {len(rows) - _ROWS_SHOWN} more", "", ""]]
        return rows

    def _of(self, name: str) -> Tensor:
        check_choice("name", name, self.names)
        return self.values[name]


def _quantiles(values: Tensor, wanted: tuple[float, ...], level: float) -> Tensor:
    """Quantiles and the ends of their intervals, (3, Q), of values (m,)."""
    m = len(values)
    infinity = torch.tensor([torch.inf], dtype=torch.float64)
    enclosed = torch.cat((-infinity, values.sort().values, infinity))
    ranks = [quantile_ranks(m, one, level) for one in wanted]
    q = torch.tensor(wanted, dtype=torch.float64)
    return torch.stack((values.quantile(q), *(enclosed[[pair[end] for pair in ranks]] for end in (0, 1))))
