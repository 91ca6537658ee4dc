"""Formats scores as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fastpunet.scoring.estimates import Estimate
from fastpunet.scoring.evaluation import Evaluation
from fastpunet.scoring.registry import SCORES, Score

DASH = "-"
_ARROWS = {-1: " ↓", 0: "", 1: " ↑"}


def score_table(columns: Mapping[str, tuple[Evaluation, int]], corner: str, *, rank: bool) -> str:
    """A Markdown table with a row for each score, and a column for each evaluation at a number of hypotheses.

    rank: whether the best value of each row is bold. Cells have 95 % intervals. Undefined scores have no row.
    """
    rows = [[corner, *columns]]
    for name, score in SCORES.items():
        estimates = [e.estimate(n, name) if e.has(n, name) else None for e, n in columns.values()]
        if score.title and any(estimate and not np.isnan(estimate.value) for estimate in estimates):
            rows.append([score.title + _ARROWS[score.better], *_cells(estimates, score, rank)])
    return markdown(rows)


def energy_table(results: Mapping[str, Evaluation], ns: Sequence[int], perfect: Mapping[int, float]) -> str:
    """A Markdown table of the mean energy distance (V), with a row for each result and a column for each n.

    perfect: the score, at each n, of a model that draws from the graders' distribution; it is the last row, if known.
    """
    rows = [["energy distance, V ↓", *(f"n = {n}" for n in ns)]]
    for name, result in results.items():
        rows.append([name, *(cell(result.estimate(n, "value")) if result.has(n, "value") else DASH for n in ns)])
    if perfect:
        rows.append(["a perfect model", *(f"{perfect[n]:.3f}" if n in perfect else DASH for n in ns)])
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
    value, low, high = (f"{number:.{digits}f}" for number in estimate)
    return value if np.isnan(estimate.low) else f"{value} [{low}, {high}]"


def _cells(estimates: Sequence[Estimate | None], score: Score, rank: bool) -> list[str]:
    texts = [DASH if estimate is None else cell(estimate, score.digits) for estimate in estimates]
    if rank and score.better:
        values = [np.nan if estimate is None else score.better * estimate.value for estimate in estimates]
        best = int(np.nanargmax(values))
        texts[best] = f"**{texts[best]}**"
    return texts
