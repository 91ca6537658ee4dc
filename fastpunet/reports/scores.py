"""What the scores of an evaluation are called in reports, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fastpunet.reports.evaluation import Estimate, Evaluation


class Score(NamedTuple):
    """Better: -1 for low, 1 for high, 0 for neither."""

    title: str
    better: int
    digits: int = 3


SCORES = {
    "value": Score("energy distance, V", -1),
    "unbiased": Score("energy distance, U", -1),
    "cross": Score("E d(S, Y)", 0),
    "sample_diversity": Score("E d(S, S'), sample diversity", 0),
    "reference_diversity": Score("E d(Y, Y')", 0),
    "present_distance": Score("d where both outline something", -1),
    "presence_correlation": Score("presence correlation", 1, 2),
    "matched_iou": Score("Hungarian-matched IoU", 1),
    "best_iou": Score("best IoU for each grader", 1),
    "best_dice": Score("best Dice for each grader", 1),
    "ncc": Score("NCC", 1),
    "nestedness": Score("nestedness of hypotheses", 0),
    "graders_nestedness": Score("nestedness of graders", 0),
    "pixel_calibration_error": Score("calibration error, pixels", -1, 4),
    "presence_calibration_error": Score("calibration error, presence", -1),
}
DASH = "-"
_ARROWS = {-1: " ↓", 0: "", 1: " ↑"}


def score_table(columns: Mapping[str, tuple[Evaluation, int]], corner: str, *, rank: bool) -> str:
    """Markdown: a row a score with its 95 % interval; a column an evaluation and a number of hypotheses.

    rank: the best value of each row is bold.
    """
    rows = [[corner, *columns]]
    for name, score in SCORES.items():
        estimates = [evaluation.estimate(n, name) for evaluation, n in columns.values() if evaluation.has(n, name)]
        if len(estimates) == len(columns) and not np.isnan([estimate.value for estimate in estimates]).all():
            rows.append([score.title + _ARROWS[score.better], *_cells(estimates, score, rank)])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, the first row its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(estimate: Estimate, digits: int = 3) -> str:
    """0.261 [0.240, 0.283], or a dash where it is undefined."""
    if np.isnan(estimate.value):
        return DASH
    value, low, high = (f"{number:.{digits}f}" for number in estimate)
    return value if np.isnan(estimate.low) else f"{value} [{low}, {high}]"


def _cells(estimates: Sequence[Estimate], score: Score, rank: bool) -> list[str]:
    texts = [cell(estimate, score.digits) for estimate in estimates]
    if rank and score.better:
        best = int(np.nanargmax([score.better * estimate.value for estimate in estimates]))
        texts[best] = f"**{texts[best]}**"
    return texts
