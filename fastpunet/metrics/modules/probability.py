"""Modules of the scores that look at probabilities of pixels."""

from __future__ import annotations

from typing import Any

import torch

from fastpunet.metrics.consensus import consensus_dice, consensus_iou
from fastpunet.metrics.modules.base import MeanOverImages
from fastpunet.metrics.ncc import ncc
from fastpunet.metrics.proper_scores import brier_score, image_log_likelihood, pixel_nll
from fastpunet.metrics.selective import SELECTIVE_TERMS, selective_risk
from fastpunet.metrics.soft_dice import soft_dice
from fastpunet.metrics.uncertainty import uncertainty_ncc


class NCC(MeanOverImages):
    """Mean of `metrics.ncc`; num_classes None for binary masks."""

    higher_is_better = True
    function = staticmethod(ncc)

    def __init__(self, num_classes: int | None = None, **options: Any) -> None:
        super().__init__(num_classes=num_classes, **options)


class UncertaintyNCC(MeanOverImages):
    """Mean of `metrics.uncertainty_ncc`; settings: uncertainty, num_classes."""

    higher_is_better = True
    function = staticmethod(uncertainty_ncc)


class SoftDice(MeanOverImages):
    """Mean of `metrics.soft_dice`; settings: thresholds, num_classes."""

    higher_is_better = True
    function = staticmethod(soft_dice)


class ConsensusDice(MeanOverImages):
    """Mean of `metrics.consensus_dice`; settings: rule, empty, num_classes."""

    higher_is_better = True
    function = staticmethod(consensus_dice)


class ConsensusIoU(MeanOverImages):
    """Mean of `metrics.consensus_iou`; settings: rule, empty, num_classes."""

    higher_is_better = True
    function = staticmethod(consensus_iou)


class BrierScore(MeanOverImages):
    """Mean of `metrics.brier_score`; setting: num_classes."""

    higher_is_better = False
    function = staticmethod(brier_score)


class PixelNLL(MeanOverImages):
    """Mean of `metrics.pixel_nll`; settings: smallest, num_classes."""

    higher_is_better = False
    function = staticmethod(pixel_nll)


class ImageLogLikelihood(MeanOverImages):
    """Mean of `metrics.image_log_likelihood`, of `Probabilities`; settings: smallest, num_classes."""

    higher_is_better = True
    function = staticmethod(image_log_likelihood)

    def check_settings(self, settings: dict[str, Any]) -> None:
        pixel_nll(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, 1, 1, 1, dtype=torch.uint8), **settings)


class SelectiveRiskMetric(MeanOverImages):
    """Mean of `metrics.selective_risk`; settings: statistic, uncertainty, num_classes.

    statistic: "aurc", "excess", "ause" or "risk", of which low values are good, or "auroc", of which high ones are.
    """

    function = staticmethod(selective_risk)
    terms = SELECTIVE_TERMS
