"""The registry of all scores. A new entry here adds a score to evaluation, tables, JSON and CSV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fastpunet import metrics
from fastpunet.scoring import estimates
from fastpunet.scoring.estimates import Statistic
from fastpunet.scoring.measures import (
    false_alarms,
    graders_presence,
    hypotheses_presence,
    pixel_tables,
    presence_pairs,
    presence_tables,
)
from fastpunet.scoring.scored_batch import ScoredBatch


@dataclass(frozen=True)
class Score:
    """One score.

    name        its name in `Evaluation.scores`, in JSON and CSV
    measure     the function that computes it from a ScoredBatch: a float Tensor (B, ...), NaN where undefined
    title       the title of its row in tables; empty for a column of the CSV that is no result by itself
    better      -1 if low values are good, 1 if high values are good, 0 if neither
    digits      decimal places in tables
    overall     how the values of all images become one: their mean, unless the score has another rule
    binary      the score is defined only for binary masks
    graders     the score is defined only for graders' annotations, not for an exact distribution of masks
    references  the score is defined only for images that somebody annotated
    at_most     the largest number of hypotheses for which it is computed, because its cost grows at least with n^2
    """

    name: str
    measure: Callable[[ScoredBatch], Tensor]
    title: str = ""
    better: int = 0
    digits: int = 3
    overall: Statistic = estimates.mean
    binary: bool = False
    graders: bool = False
    references: bool = True
    at_most: int | None = None

    def applies(self, num_classes: int, n: int) -> bool:
        """Whether the score is computed for n hypotheses of a model with `num_classes` (1: binary)."""
        return (num_classes == 1 or not self.binary) and (self.at_most is None or n <= self.at_most)

    def of(self, batch: ScoredBatch) -> NDArray[np.float64] | None:
        """The score of each image, float64 (B, ...); None if these images lack what it needs."""
        known = batch.references
        lacks = (self.references and known.masks is None) or (self.graders and known.weights is not None)
        return None if lacks else self.measure(batch).double().cpu().numpy()


def _overlap(metric: Callable[..., Tensor]) -> Callable[[ScoredBatch], Tensor]:
    return lambda b: metric(b.samples, b.masks, convention=b.convention, ignore=b.references.ignore)


_ALL = (
    Score("value", lambda b: b.energy.value, "energy distance, V", -1),
    Score("expected_value", lambda b: b.expected_energy, "energy distance, V, expected from all hypotheses drawn", -1),
    Score("unbiased", lambda b: b.energy.unbiased, "energy distance, U", -1),
    Score("cross", lambda b: b.energy.cross, "E d(S, Y)"),
    Score("sample_diversity", lambda b: b.energy.sample_diversity, "E d(S, S'), sample diversity"),
    Score("reference_diversity", lambda b: b.energy.reference_diversity, "E d(Y, Y')"),
    Score(
        "present_distance",
        lambda b: metrics.present_distance(
            b.samples, b.masks, weights=b.references.weights, ignore=b.references.ignore
        ),
        "d where both outline something",
        -1,
        binary=True,
    ),
    Score("presence", hypotheses_presence, binary=True, references=False),
    Score("graders_presence", graders_presence, binary=True),
    Score(
        "presence_correlation",
        presence_pairs,
        "presence correlation",
        1,
        digits=2,
        overall=estimates.correlation,
        binary=True,
    ),
    Score("false_alarms", false_alarms, "outlined where no grader outlines anything", -1, binary=True),
    Score("matched_iou", _overlap(metrics.matched_iou), "Hungarian-matched IoU", 1, graders=True),
    Score(
        "matched_iou_once",
        _overlap(partial(metrics.matched_iou, repeat=False)),
        "matched IoU, one hypothesis a grader",
        1,
        graders=True,
    ),
    Score(
        "matched_dice_once",
        _overlap(partial(metrics.matched_dice, repeat=False)),
        "matched Dice, one hypothesis a grader (D_match)",
        1,
        graders=True,
    ),
    Score("best_iou", _overlap(metrics.best_iou), "best IoU for each grader", 1, graders=True),
    Score("best_dice", _overlap(metrics.best_dice), "best Dice for each grader", 1, graders=True),
    Score(
        "best_grader_dice",
        _overlap(partial(metrics.best_dice, of="samples")),
        "Dice of each hypothesis with its best grader (D_max)",
        1,
        graders=True,
    ),
    Score(
        "ncc",
        lambda b: metrics.ncc(b.samples, b.masks, num_classes=b.num_classes, ignore=b.references.ignore),
        "NCC",
        1,
        graders=True,
    ),
    Score(
        "nestedness",
        lambda b: metrics.nestedness(b.samples, ignore=b.references.ignore),
        "nestedness of hypotheses",
        binary=True,
        references=False,
        at_most=4096,
    ),
    Score(
        "graders_nestedness",
        lambda b: metrics.nestedness(b.masks, ignore=b.references.ignore),
        "nestedness of graders",
        binary=True,
    ),
    Score(
        "pixel_calibration_error",
        pixel_tables,
        "calibration error, pixels",
        -1,
        digits=4,
        overall=estimates.calibration_error,
    ),
    Score(
        "presence_calibration_error",
        presence_tables,
        "calibration error, presence",
        -1,
        overall=estimates.calibration_error,
        binary=True,
    ),
)
SCORES = {score.name: score for score in _ALL}
WINNER = "expected_value"  # the score by which methods are compared unless others are asked for
ENERGY = metrics.ENERGY_DISTANCE_TERMS  # the names of the scores that one call of `energy_distance` computes
