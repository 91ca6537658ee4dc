"""The scores as torchmetrics modules: updated batch by batch, synchronised across processes, put into collections.

Needs torchmetrics (the extras `report` and `train` bring it), so it is imported by its own name:
`from fastpunet.metrics.modules import EnergyDistanceMetric`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from fastpunet.metrics.best import best_dice, best_iou
from fastpunet.metrics.checks import Masks
from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.energy import energy_distance
from fastpunet.metrics.matched import matched_iou
from fastpunet.metrics.ncc import ncc
from fastpunet.metrics.reliability import BINS, Reliability, pixel_reliability, presence_reliability

STATISTICS = ("value", "unbiased", "cross", "sample_diversity", "reference_diversity")


class _MeanOverImages(Metric):
    """Mean of a score over all images seen, those for which it is undefined left out; NaN before any."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in ("total", "images"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, samples: Masks, references: Masks) -> None:
        """Add a batch: labels (B, n, H, W) and (B, M, H, W), or `PackedMasks`."""
        scores = self._scores(samples, references).double()
        known = ~scores.isnan()
        self.total += scores[known].sum()
        self.images += known.sum()

    def compute(self) -> Tensor:
        """float64, a scalar."""
        return self.total / self.images

    @abstractmethod
    def _scores(self, samples: Masks, references: Masks) -> Tensor:
        """One score an image, (B,)."""


class EnergyDistanceMetric(_MeanOverImages):
    """Mean of `fastpunet.energy_distance`; statistic: the name of one of its fields, such as "unbiased"."""

    higher_is_better = False

    def __init__(self, convention: str | Convention = "kohl-lidc", statistic: str = "value", **options: Any) -> None:
        super().__init__(**options)
        if statistic not in STATISTICS:
            raise ValueError(f"statistic: got {statistic!r}, expected one of {', '.join(STATISTICS)}")
        self.convention, self.statistic = find_convention(convention), statistic

    def _scores(self, samples: Masks, references: Masks) -> Tensor:
        score = energy_distance(samples, references, convention=self.convention)
        return getattr(score, self.statistic)  # type: ignore[no-any-return]


class _Overlap(_MeanOverImages):
    higher_is_better = True

    def __init__(self, convention: str | Convention = "kohl-lidc", **options: Any) -> None:
        super().__init__(**options)
        self.convention = find_convention(convention)


class MatchedIoU(_Overlap):
    """Mean of `metrics.matched_iou`."""

    def _scores(self, samples: Masks, references: Masks) -> Tensor:
        return matched_iou(samples, references, convention=self.convention)


class BestIoU(_Overlap):
    """Mean of `metrics.best_iou`."""

    def _scores(self, samples: Masks, references: Masks) -> Tensor:
        return best_iou(samples, references, convention=self.convention)


class BestDice(_Overlap):
    """Mean of `metrics.best_dice`."""

    def _scores(self, samples: Masks, references: Masks) -> Tensor:
        return best_dice(samples, references, convention=self.convention)


class NCC(_MeanOverImages):
    """Mean of `metrics.ncc`; num_classes None for binary masks."""

    higher_is_better = True

    def __init__(self, num_classes: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.num_classes = num_classes

    def _scores(self, samples: Masks, references: Masks) -> Tensor:
        return ncc(samples, references, num_classes=self.num_classes)


class _CalibrationError(Metric):
    """Expected calibration error of all predictions seen, float64; NaN before any. The states are the diagram."""

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    count: Tensor
    predicted: Tensor
    observed: Tensor

    def __init__(self, bins: int = BINS, **options: Any) -> None:
        super().__init__(**options)
        self.bins = bins
        for name in ("count", "predicted", "observed"):
            self.add_state(name, torch.zeros(bins, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, samples: Masks, references: Masks) -> None:
        """Add a batch: labels (B, n, H, W) and (B, M, H, W), or `PackedMasks`."""
        table = self._table(samples, references)
        self.count += table.count.sum(0)
        self.predicted += table.predicted.sum(0)
        self.observed += table.observed.sum(0)

    def compute(self) -> Tensor:
        return Reliability(self.count[None], self.predicted[None], self.observed[None]).error[0]

    @abstractmethod
    def _table(self, samples: Masks, references: Masks) -> Reliability:
        """Predictions by bin."""


class PixelCalibrationError(_CalibrationError):
    """Of `metrics.pixel_reliability`; num_classes None for binary masks."""

    def __init__(self, num_classes: int | None = None, bins: int = BINS, **options: Any) -> None:
        super().__init__(bins, **options)
        self.num_classes = num_classes

    def _table(self, samples: Masks, references: Masks) -> Reliability:
        return pixel_reliability(samples, references, num_classes=self.num_classes, bins=self.bins)


class PresenceCalibrationError(_CalibrationError):
    """Of `metrics.presence_reliability`."""

    def _table(self, samples: Masks, references: Masks) -> Reliability:
        return presence_reliability(samples, references, bins=self.bins)
