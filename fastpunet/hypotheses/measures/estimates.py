"""Quantiles and probabilities of measures, with the intervals that follow from the number of hypotheses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from fastpunet.hypotheses.display import html_block, percent


def title(name: str) -> str:
    return name.replace("_", " ")


def number(value: float, *others: float) -> str:
    """A value with the decimals that show three digits of the largest of it and the others; a dash for NaN.

    Whole numbers among whole numbers have no decimals.

    >>> number(9.2345), number(1234.5), number(9.0, 12.25), number(1.0, 2.0), number(float("nan"))
    ('9.23', '1234', '9.0', '1', '-')
    """
    if math.isnan(value):
        return "-"
    finite = [abs(one) for one in (value, *others) if math.isfinite(one)]
    if all(one.is_integer() for one in finite):
        return f"{value:.0f}"
    decimals = 2 - math.floor(math.log10(max(finite)))
    return f"{value:.{min(max(decimals, 0), 9)}f}"


def with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit else text


@dataclass(frozen=True, eq=False)
class Probability:
    """The probability that a measure is on one side of a threshold, of each image (and class), with its interval.

    probability, low, high  float64 (B,), or (B, K) with classes
    statement               what it is the probability of, such as "the longest diameter is >= 8 mm"
    """

    statement: str
    probability: Tensor
    low: Tensor
    high: Tensor

    def __str__(self) -> str:
        lines = []
        for place, label in places(self.probability):
            p, low, high = (float(part[place]) for part in (self.probability, self.low, self.high))
            lines.append(f"{label}probability that {self.statement}: {p:.2f} [{low:.2f}, {high:.2f}]")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(html_block(line) for line in str(self).splitlines())


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Quantiles of a measure over each image's hypotheses that are not empty, with their intervals.

    q                 the probabilities of the quantiles
    values, low, high float64 (B, Q), or (B, K, Q) with classes; NaN if all hypotheses are empty. Ends are infinite
                      where there are too few hypotheses for an interval
    empty             float64 (B,) or (B, K), the share of the hypotheses that are empty (or have no value)
    """

    name: str
    unit: str
    q: tuple[float, ...]
    values: Tensor
    low: Tensor
    high: Tensor
    empty: Tensor

    def __str__(self) -> str:
        lines = []
        for place, label in places(self.empty):
            numbers = [
                tuple(float(part[place][i]) for part in (self.values, self.low, self.high)) for i in range(len(self.q))
            ]
            parts = (
                f"{q * 100:g} %: {with_unit(interval_text(*its), self.unit)}"
                for q, its in zip(self.q, numbers, strict=True)
            )
            empty = f"; {percent(float(self.empty[place]))} of the hypotheses are empty"
            lines.append(f"{label}quantiles of the {title(self.name)} at {', '.join(parts)}{empty}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(html_block(line) for line in str(self).splitlines())


def interval_text(value: float, low: float, high: float) -> str:
    """A value and its interval, all with the same decimals.

    >>> interval_text(9.2345, 9.0, 9.4)
    '9.23 [9.00, 9.40]'
    """
    if math.isnan(value):
        return "-"
    return f"{number(value, low, high)} [{number(low, value, high)}, {number(high, value, low)}]"


def places(values: Tensor) -> Iterator[tuple[tuple[int, ...], str]]:
    """The indices of values (B,) or (B, K), each with the words that name its image and class if there are several."""
    for place in product(*map(range, values.shape)):
        words = [f"image {place[0]}"] if len(values) > 1 else []
        words += [f"class {place[1]}"] if len(place) > 1 else []
        yield place, ", ".join(words) + ": " if words else ""


def of_hypotheses(values: Tensor, place: tuple[int, ...]) -> Tensor:
    """The values (n,) of the hypotheses of one image (and class), of values (B, n) or (B, n, K)."""
    return values.movedim(1, -1)[place]
