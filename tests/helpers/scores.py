"""All scores of hypotheses against references, each beside its loop."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from fastpunet import metrics
from helpers import probability_loops as loops
from helpers import score_loops

BINS = 5


class Score(NamedTuple):
    """call(samples, references, rule, ignore=..., and weights=... if it takes them) scores a batch, a row an image;
    loop(samples, references, rule, weights, keep) scores one image."""

    call: Callable[..., Any]
    loop: Callable[..., Any]
    takes_weights: bool = True
    binary: bool = False  # it takes binary masks only
    looks_at: tuple[int, ...] = (0, 1)  # the samples, the references


def _energy(samples, references, rule, **options):
    result = metrics.energy_distance(samples, references, convention=rule, **options)
    return torch.stack([getattr(result, name) for name in score_loops.ENERGY_TERMS], 1)


def _num_classes(rule):
    return None if rule.num_classes == 2 else rule.num_classes


def _of_classes(function):
    return lambda s, y, rule, **options: function(s, y, num_classes=_num_classes(rule), **options)


def _with_classes(loop, *settings):
    return lambda s, y, rule, weights, keep: loop(s, y, rule.num_classes, *settings, weights, keep)


def _stacked(result, names):
    return torch.stack([getattr(result, name) for name in names], 1)


def _selective(uncertainty):
    def call(s, y, rule, **options):
        found = metrics.selective_risk(s, y, uncertainty=uncertainty, num_classes=_num_classes(rule), **options)
        return _stacked(found, metrics.SELECTIVE_TERMS)

    return call


def _with_convention(function):
    return lambda s, y, rule, **options: function(s, y, convention=rule, **options)


def _presence_error(samples, references, _rule, weights, keep):
    predicted, observed = score_loops.presence(samples, keep=keep), score_loops.presence(references, weights, keep)
    return score_loops.calibration_error(np.array([predicted]), np.array([observed]), BINS)


SCORES = {
    "energy_distance": Score(_energy, score_loops.energy),
    "matched_iou": Score(_with_convention(metrics.matched_iou), score_loops.matched),
    "matched_dice": Score(_with_convention(metrics.matched_dice), partial(score_loops.matched, dice=True)),
    "matched_once": Score(
        _with_convention(partial(metrics.matched_iou, repeat=False)),
        partial(score_loops.matched, repeat=False),
        takes_weights=False,
    ),
    "best_of_samples": Score(
        _with_convention(partial(metrics.best_iou, of="samples")), partial(score_loops.best, of_samples=True)
    ),
    "best_iou": Score(_with_convention(metrics.best_iou), score_loops.best),
    "best_dice": Score(
        _with_convention(metrics.best_dice),
        lambda s, y, rule, weights, keep: score_loops.best(s, y, rule, weights, keep, dice=True),
    ),
    "ncc": Score(
        lambda s, y, rule, **options: metrics.ncc(s, y, num_classes=_num_classes(rule), **options),
        lambda s, y, _rule, weights, keep: score_loops.ncc(s, y, weights, keep),
    ),
    "present_distance": Score(
        lambda s, y, _rule, **options: metrics.present_distance(s, y, **options),
        lambda s, y, _rule, weights, keep: score_loops.present_distance(s, y, weights, keep),
        binary=True,
    ),
    "presence": Score(
        lambda _s, y, _rule, **options: metrics.presence(y, **options),
        lambda _s, y, _rule, weights, keep: score_loops.presence(y, weights, keep),
        binary=True,
        looks_at=(1,),
    ),
    "presence_reliability": Score(
        lambda s, y, _rule, **options: metrics.presence_reliability(s, y, bins=BINS, **options).error,
        _presence_error,
        binary=True,
    ),
    "pixel_reliability": Score(
        _of_classes(lambda *masks, **options: metrics.pixel_reliability(*masks, bins=BINS, **options).error),
        _with_classes(loops.class_wise_error, BINS),
    ),
    "top_label_reliability": Score(
        _of_classes(
            lambda *masks, **options: metrics.pixel_reliability(*masks, kind="top-label", bins=BINS, **options).error
        ),
        _with_classes(loops.top_label_error, BINS),
    ),
    "soft_dice": Score(
        _of_classes(partial(metrics.soft_dice, thresholds="qubiq")),
        _with_classes(loops.soft_dice, np.arange(1, 10) / 10),
    ),
    "consensus_dice": Score(_of_classes(metrics.consensus_dice), _with_classes(loops.consensus, "majority", 1.0)),
    "consensus_iou": Score(
        _of_classes(partial(metrics.consensus_iou, empty=math.nan)),
        lambda s, y, rule, weights, keep: loops.consensus(
            s, y, rule.num_classes, "majority", math.nan, weights, keep, iou=True
        ),
    ),
    "unanimous_dice": Score(
        _of_classes(partial(metrics.consensus_dice, rule="unanimous", empty=0.0)),
        _with_classes(loops.consensus, "unanimous", 0.0),
    ),
    "brier_score": Score(_of_classes(metrics.brier_score), _with_classes(loops.brier)),
    "pixel_nll": Score(_of_classes(metrics.pixel_nll), _with_classes(loops.nll, 1e-8)),
    "selective_risk": Score(_selective("confidence"), _with_classes(loops.selective, "confidence")),
    "selective_risk, entropy": Score(_selective("entropy"), _with_classes(loops.selective, "entropy")),
    "uncertainty_ncc": Score(_of_classes(metrics.uncertainty_ncc), _with_classes(loops.uncertainty_ncc, "entropy")),
    "volume_crps": Score(_of_classes(metrics.volume_crps), _with_classes(loops.volume_crps, False)),
    "volume_crps, unbiased": Score(
        _of_classes(partial(metrics.volume_crps, unbiased=True)), _with_classes(loops.volume_crps, True)
    ),
    "normal_volume_crps": Score(_of_classes(metrics.normal_volume_crps), _with_classes(loops.normal_crps)),
    "cohens_kappa": Score(
        _of_classes(metrics.cohens_kappa), lambda s, y, _rule, weights, keep: loops.kappa(s, y, weights, keep)
    ),
    "collective_insight": Score(
        lambda s, y, _rule, **options: _stacked(metrics.collective_insight(s, y, **options), metrics.INSIGHT_TERMS),
        lambda s, y, _rule, _weights, keep: loops.insight(s, y, "difference", keep),
        takes_weights=False,
        binary=True,
    ),
    "collective_insight, variances": Score(
        lambda s, y, _rule, **options: _stacked(
            metrics.collective_insight(s, y, variance="variances", **options), metrics.INSIGHT_TERMS
        ),
        lambda s, y, _rule, _weights, keep: loops.insight(s, y, "variances", keep),
        takes_weights=False,
        binary=True,
    ),
    "energy_parts": Score(
        lambda s, y, _rule, **options: _stacked(metrics.energy_parts(s, y, **options), metrics.ENERGY_PARTS),
        lambda s, y, _rule, weights, keep: loops.energy_parts(s, y, weights, keep),
        binary=True,
    ),
    "nestedness": Score(
        lambda s, _y, rule, **options: metrics.nestedness(
            s, num_classes=_num_classes(rule), classes=rule.averaged, **options
        ),
        lambda s, _y, rule, _weights, keep: score_loops.nestedness(s, rule.averaged, keep),
        takes_weights=False,
        looks_at=(0,),
    ),
}
