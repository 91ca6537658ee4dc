"""Modules of the scores that compare masks with masks."""

from __future__ import annotations

from typing import Any

from fastpunet.metrics.best_overlap import best_dice, best_iou
from fastpunet.metrics.collective_insight import INSIGHT_TERMS, collective_insight
from fastpunet.metrics.conventions import Convention
from fastpunet.metrics.energy import ENERGY_DISTANCE_TERMS, energy_distance
from fastpunet.metrics.energy_parts import ENERGY_PARTS, energy_parts
from fastpunet.metrics.kappa import cohens_kappa
from fastpunet.metrics.matching import matched_dice, matched_iou
from fastpunet.metrics.modules.base import MeanOverImages
from fastpunet.metrics.volumes import normal_volume_crps, volume_crps


class EnergyDistanceMetric(MeanOverImages):
    """Mean of `fastpunet.energy_distance`; statistic: the name of one of its fields, such as "unbiased".

    >>> import torch
    >>> metric = EnergyDistanceMetric()
    >>> metric.update(torch.tensor([[[[1, 1, 0, 0]]]]), torch.tensor([[[[1, 1, 1, 1]]]]))  # d = 1/2
    >>> metric.update(torch.tensor([[[[1, 1, 0, 0]]]]), torch.tensor([[[[1, 1, 0, 0]]]]))  # d = 0
    >>> metric.compute()  # the mean of 2 d
    tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = False
    function = staticmethod(energy_distance)
    terms = ENERGY_DISTANCE_TERMS

    def __init__(self, convention: str | Convention = "kohl-lidc", statistic: str = "value", **options: Any) -> None:
        super().__init__(convention=convention, statistic=statistic, **options)


class EnergyPartsMetric(MeanOverImages):
    """Mean of `metrics.energy_parts`; statistic: "detection" or "shape"."""

    higher_is_better = False
    function = staticmethod(energy_parts)
    terms = ENERGY_PARTS


class _Overlap(MeanOverImages):
    higher_is_better = True

    def __init__(self, convention: str | Convention = "kohl-lidc", **options: Any) -> None:
        super().__init__(convention=convention, **options)


class MatchedIoU(_Overlap):
    """Mean of `metrics.matched_iou`; settings: convention, repeat."""

    function = staticmethod(matched_iou)


class MatchedDice(_Overlap):
    """Mean of `metrics.matched_dice`; settings: convention, repeat."""

    function = staticmethod(matched_dice)


class BestIoU(_Overlap):
    """Mean of `metrics.best_iou`; settings: convention, of."""

    function = staticmethod(best_iou)


class BestDice(_Overlap):
    """Mean of `metrics.best_dice`; settings: convention, of."""

    function = staticmethod(best_dice)


class CollectiveInsightMetric(MeanOverImages):
    """Mean of `metrics.collective_insight`; settings: statistic, variance."""

    higher_is_better = True
    function = staticmethod(collective_insight)
    terms = INSIGHT_TERMS


class CohensKappa(MeanOverImages):
    """Mean of `metrics.cohens_kappa`; setting: num_classes."""

    higher_is_better = True
    function = staticmethod(cohens_kappa)


class VolumeCRPS(MeanOverImages):
    """Mean of `metrics.volume_crps`; settings: unbiased, unit, num_classes."""

    higher_is_better = False
    function = staticmethod(volume_crps)


class NormalVolumeCRPS(MeanOverImages):
    """Mean of `metrics.normal_volume_crps`; settings: unit, num_classes."""

    higher_is_better = False
    function = staticmethod(normal_volume_crps)
