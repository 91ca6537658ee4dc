"""The registry of all scores. A new entry here adds a score to evaluation, tables, JSON and CSV."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fastpunet import metrics
from fastpunet.metrics.consensus import class_consensus_of
from fastpunet.metrics.ncc import ncc_of
from fastpunet.metrics.proper_scores import brier_of, nll_of
from fastpunet.metrics.soft_dice import soft_dice_of
from fastpunet.metrics.uncertainty import uncertainty_ncc_of
from fastpunet.metrics.volumes import normal_crps_of
from fastpunet.scoring import estimates
from fastpunet.scoring.estimates import Statistic
from fastpunet.scoring.measures import (
    false_alarms,
    graders_presence,
    hypotheses_presence,
    pixel_tables,
    presence_pairs,
    presence_tables,
    split_pixel_tables,
    split_presence_tables,
    top_label_tables,
    volume_crps_in_ml,
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


def _agreement(metric: Callable[..., Tensor]) -> Callable[[ScoredBatch], Tensor]:
    return lambda b: metric(b.samples, b.masks, num_classes=b.num_classes, ignore=b.references.ignore)


_ALL = (
    Score("value", lambda b: b.energy.value, "energy distance, V", -1),
    Score("expected_value", lambda b: b.expected_energy, "energy distance, V, expected", -1),
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
    Score("detection", lambda b: b.energy_parts.detection, "energy distance of presence alone", -1, binary=True),
    Score("shape", lambda b: b.energy_parts.shape, "energy distance of masks that are not empty", -1, binary=True),
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
    Score("soft_dice", lambda b: soft_dice_of(b.shares), "soft Dice, thresholds .1 .3 .5 .7 .9 (D_soft)", 1),
    Score("soft_dice_qubiq", lambda b: soft_dice_of(b.shares, "qubiq"), "soft Dice, thresholds .1 to .9 (QUBIQ)", 1),
    Score("consensus_dice", lambda b: class_consensus_of(b.shares).mean(1), "Dice of the majorities", 1),
    Score(
        "unanimous_dice",
        lambda b: class_consensus_of(b.shares, "unanimous", math.nan).nanmean(1),
        "Dice where graders are unanimous (CURVAS)",
        1,
        graders=True,
    ),
    Score(
        "collective_insight",
        lambda b: metrics.collective_insight(b.samples, b.masks, ignore=b.references.ignore).value,
        "collective insight (CI), variance of differences",
        1,
        binary=True,
        graders=True,
        at_most=4096,
    ),
    Score("kappa", _agreement(metrics.cohens_kappa), "Cohen's kappa of hypotheses and graders", 1, graders=True),
    Score(
        "graders_kappa",
        lambda b: metrics.kappa_within(b.masks, num_classes=b.num_classes, ignore=b.references.ignore),
        "Cohen's kappa among graders",
        graders=True,
    ),
    Score("volume_crps", _agreement(metrics.volume_crps), "CRPS of the volume, pixels", -1, digits=1, graders=True),
    Score("volume_crps_ml", volume_crps_in_ml, "CRPS of the volume, ml", -1, graders=True),
    Score(
        "normal_volume_crps",
        lambda b: normal_crps_of(b.shares, b.masks, b.num_classes, None, b.references.ignore),
        "CRPS of the mean volume, pixels (CURVAS)",
        -1,
        digits=1,
        graders=True,
    ),
    Score("ncc", lambda b: ncc_of(b.shares, b.masks, None, b.references.ignore), "NCC", 1, graders=True),
    Score(
        "uncertainty_ncc",
        lambda b: uncertainty_ncc_of(b.shares),
        "NCC of entropy and graders' variance (sNCC)",
        1,
        graders=True,
    ),
    Score("brier_score", lambda b: brier_of(b.shares), "Brier score", -1, digits=4),
    Score("pixel_nll", lambda b: nll_of(b.shares), "-log p of pixels, p at least 1e-8", -1, digits=4),
    Score("aurc", lambda b: b.selective_risk.aurc, "AURC", -1, digits=4),
    Score("excess_aurc", lambda b: b.selective_risk.excess, "E-AURC", -1, digits=4),
    Score("error_auroc", lambda b: b.selective_risk.auroc, "AUROC of errors", 1),
    Score("ause", lambda b: b.selective_risk.ause, "AUSE", -1),
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
        "top_label_calibration_error",
        top_label_tables,
        "calibration error, most probable class of pixels",
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
    Score(
        "pixel_calibration_debiased",
        split_pixel_tables,
        "squared calibration error, pixels, debiased",
        -1,
        digits=5,
        overall=estimates.debiased_calibration,
    ),
    Score(
        "presence_calibration_debiased",
        split_presence_tables,
        "squared calibration error, presence, debiased",
        -1,
        digits=4,
        overall=estimates.debiased_calibration,
        binary=True,
    ),
)
SCORES = {score.name: score for score in _ALL}
WINNER = "expected_value"  # the score by which methods are compared unless others are asked for
ENERGY = metrics.ENERGY_DISTANCE_TERMS  # the names of the scores that one call of `energy_distance` computes
