"""Formats scores as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fastpunet.scoring.estimates import Estimate
from fastpunet.scoring.evaluation import Evaluated
from fastpunet.scoring.perfect import PERFECT
from fastpunet.scoring.registry import SCORES, WINNER

DASH = "-"
_ARROWS = {-1: " ↓", 0: "", 1: " ↑"}


def score_table(
    columns: Mapping[str, tuple[Evaluated, int]],
    corner: str,
    *,
    images: int,
    winners: Mapping[str, str | None] | None = None,
) -> str:
    """A Markdown table with a row for each score, and a column for each evaluation at a number of hypotheses.

    images: the number of images; cells that rest on fewer say on how many. winners: the column, by the name of a score,
    whose value is bold. Cells have 95 % intervals. Undefined scores have no row, and nor do those that only a perfect
    model has.
    """
    rows = [[corner, *columns]]
    for name, score in SCORES.items():
        found = {column: e.estimate(n, name) if e.has(n, name) else None for column, (e, n) in columns.items()}
        known = [column for column, estimate in found.items() if estimate and not np.isnan(estimate.value)]
        if score.title and any(column != PERFECT for column in known):
            bold = (winners or {}).get(name)
            cells = [_cell(estimate, score.digits, images, column == bold) for column, estimate in found.items()]
            rows.append([score.title + _ARROWS[score.better], *cells])
    return markdown(rows)


def energy_table(results: Mapping[str, Evaluated], ns: Sequence[int], images: int) -> str:
    """A Markdown table of the energy distance (V), with a row for each result and a column for each n.

    V is what n hypotheses have on average, estimated from all that were drawn. images: as of `score_table`.
    """
    rows = [["energy distance, V, expected ↓", *(f"n = {n}" for n in ns)]]
    for name, result in results.items():
        found = [result.estimate(n, WINNER) if result.has(n, WINNER) else None for n in ns]
        rows.append([name, *(_cell(estimate, 3, images) for estimate in found)])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, whose header is the first row.

    >>> print(markdown([["n", "V"], ["16", "0.26"]]))
    | n | V |
    | --- | --- |
    | 16 | 0.26 |
    """
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(estimate: Estimate, digits: int = 3) -> str:
    """An estimate with its interval, or a dash if it is undefined.

    >>> cell(Estimate(0.261, 0.24, 0.283))
    '0.261 [0.240, 0.283]'
    """
    if np.isnan(estimate.value):
        return DASH
    value, low, high = (f"{number:.{digits}f}" for number in estimate[:3])
    return value if np.isnan(estimate.low) else f"{value} [{low}, {high}]"


def _cell(estimate: Estimate | None, digits: int, images: int, bold: bool = False) -> str:
    if estimate is None:
        return DASH
    text = cell(estimate, digits)
    text = f"**{text}**" if bold else text
    return f"{text} ({counted(estimate.images, 'image')})" if 0 < estimate.images < images else text


def counted(count: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    return f"{count} {thing}" + ("" if count == 1 else "s")
