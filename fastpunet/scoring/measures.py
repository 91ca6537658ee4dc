"""Scores of single images that combine several metrics."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.metrics import Reliability, pixel_reliability, presence, presence_reliability, volume_crps
from fastpunet.metrics.reliability import reliability_of
from fastpunet.scoring.scored_batch import ScoredBatch


def volume_crps_in_ml(batch: ScoredBatch) -> Tensor:
    """`metrics.volume_crps` of volumes of known spacing, float64 (B,); NaN for others."""
    crps = volume_crps(batch.samples, batch.masks, num_classes=batch.num_classes, ignore=batch.references.ignore)
    voxels = batch.references.voxels
    return torch.full_like(crps, float("nan")) if voxels is None else crps * voxels


def hypotheses_presence(batch: ScoredBatch) -> Tensor:
    """The share of hypotheses that outline anything, float64 (B,)."""
    return presence(batch.samples, ignore=batch.references.ignore)


def graders_presence(batch: ScoredBatch) -> Tensor:
    """The probability that a grader outlines anything, float64 (B,); exact if the distribution of masks is known."""
    return presence(batch.masks, batch.references.weights, ignore=batch.references.ignore)


def presence_pairs(batch: ScoredBatch) -> Tensor:
    """The shares of hypotheses and of graders that outline anything, float64 (B, 2)."""
    return torch.stack((hypotheses_presence(batch), graders_presence(batch)), 1)


def false_alarms(batch: ScoredBatch) -> Tensor:
    """The share of hypotheses that outline anything if no grader does, float64 (B,); NaN if a grader does."""
    return hypotheses_presence(batch).masked_fill(graders_presence(batch) > 0, float("nan"))


def pixel_tables(batch: ScoredBatch) -> Tensor:
    """The reliability of the pixels' classes, float64 (B, 3, bins); see `metrics.pixel_reliability`."""
    return _table(reliability_of(batch.shares))


def top_label_tables(batch: ScoredBatch) -> Tensor:
    """The reliability of the pixels' most probable classes, float64 (B, 3, bins)."""
    return _table(reliability_of(batch.shares, "top-label"))


def split_pixel_tables(batch: ScoredBatch) -> Tensor:
    """`pixel_tables` with `split=True`; NaN for a single hypothesis."""
    known = batch.references
    if batch.samples.shape[1] < 2:
        return torch.full_like(pixel_tables(batch), math.nan)
    options = {"num_classes": batch.num_classes, "weights": known.weights, "ignore": known.ignore}
    return _table(pixel_reliability(batch.samples, batch.masks, split=True, **options))  # type: ignore[arg-type]


def split_presence_tables(batch: ScoredBatch) -> Tensor:
    """`presence_tables` with `split=True`; NaN for a single hypothesis."""
    known = batch.references
    if batch.samples.shape[1] < 2:
        return torch.full_like(presence_tables(batch), math.nan)
    return _table(
        presence_reliability(batch.samples, batch.masks, split=True, weights=known.weights, ignore=known.ignore)
    )


def presence_tables(batch: ScoredBatch) -> Tensor:
    """The reliability of whether anything is outlined, float64 (B, 3, bins); see `metrics.presence_reliability`."""
    known = batch.references
    return _table(presence_reliability(batch.samples, batch.masks, weights=known.weights, ignore=known.ignore))


def _table(reliability: Reliability) -> Tensor:
    """float64 (B, 3, bins): count, predicted, observed. Classes have bins of their own, one after the other."""
    return torch.stack(
        [part.flatten(1) for part in (reliability.count, reliability.predicted, reliability.observed)], 1
    )
