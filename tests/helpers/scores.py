"""All scores of hypotheses against references, each beside its loop."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from fastpunet import metrics
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


def _pixel_classes(rule):
    return (1,) if rule.num_classes == 2 else range(rule.num_classes)


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
        lambda s, y, rule, **options: (
            metrics.pixel_reliability(s, y, num_classes=_num_classes(rule), bins=BINS, **options).error
        ),
        lambda s, y, rule, weights, keep: score_loops.pixel_calibration_error(
            s, y, _pixel_classes(rule), BINS, weights, keep
        ),
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
