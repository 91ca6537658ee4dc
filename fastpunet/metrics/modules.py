"""The scores as torchmetrics modules: updated batch by batch, synchronised across processes, put into collections.

Needs torchmetrics (the extras `report` and `train` bring it), so it is imported by its own name:
`from fastpunet.metrics.modules import EnergyDistanceMetric`.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from fastpunet.arguments import check_choice, check_count
from fastpunet.metrics.best_overlap import best_dice, best_iou
from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.energy import ENERGY_DISTANCE_TERMS, energy_distance
from fastpunet.metrics.mask_sets import RaggedMasks
from fastpunet.metrics.matching import matched_iou
from fastpunet.metrics.ncc import ncc
from fastpunet.metrics.planes import count_classes
from fastpunet.metrics.reliability import BINS, Reliability, pixel_reliability, presence_reliability


class _SumsOverImages(Metric):
    """A metric whose states are sums over images, float64.

    A `MetricCollection` takes two metrics whose states have equal names and, after the first batch, equal values for
    one and the same, and updates only one of them from then on. So the names of states hold the class and all its
    settings: only metrics that compute the same have states of the same names.
    """

    is_differentiable = False
    full_state_update = False

    def add_sums(self, shape: tuple[int, ...], names: tuple[str, ...], *settings: object) -> None:
        """Add a state of zeros for each name; settings: all that decides what the metric computes, beside its class."""
        owner = re.sub(r"\W+", "_", "_".join(map(str, (type(self).__name__, *settings))))
        self._states = {name: f"{name}_of_{owner}" for name in names}
        for state in self._states.values():
            self.add_state(state, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def sums(self) -> dict[str, Tensor]:
        """The states by the names that `add_sums` was given."""
        return {name: getattr(self, state) for name, state in self._states.items()}

    def update(
        self,
        samples: RaggedMasks,
        references: RaggedMasks,
        *,
        weights: Tensor | None = None,
        ignore: Tensor | None = None,
    ) -> None:
        """Add a batch; samples, references, weights and ignore are as of `fastpunet.energy_distance`."""
        batch = self._batch_sums(samples, references, weights, ignore)
        for name, total in self.sums().items():
            setattr(self, self._states[name], total + batch[name])

    @abstractmethod
    def _batch_sums(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> dict[str, Tensor]:
        """What a batch adds to each state."""


class _MeanOverImages(_SumsOverImages):
    """Mean of a score over all images seen, those for which it is undefined left out; NaN before any."""

    def __init__(self, *settings: object, **options: Any) -> None:
        super().__init__(**options)
        self.add_sums((), ("total", "images"), *settings)

    def compute(self) -> Tensor:
        """float64, a scalar."""
        sums = self.sums()
        return sums["total"] / sums["images"]

    def _batch_sums(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> dict[str, Tensor]:
        scores = self._scores(samples, references, weights, ignore).double()
        known = ~scores.isnan()
        return {"total": scores[known].sum(), "images": known.sum()}

    @abstractmethod
    def _scores(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> Tensor:
        """One score an image, (B,)."""


class EnergyDistanceMetric(_MeanOverImages):
    """Mean of `fastpunet.energy_distance`; statistic: the name of one of its fields, such as "unbiased".

    >>> metric = EnergyDistanceMetric()
    >>> metric.update(torch.tensor([[[[1, 1, 0, 0]]]]), torch.tensor([[[[1, 1, 1, 1]]]]))  # d = 1/2
    >>> metric.update(torch.tensor([[[[1, 1, 0, 0]]]]), torch.tensor([[[[1, 1, 0, 0]]]]))  # d = 0
    >>> metric.compute()  # the mean of 2 d
    tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, convention: str | Convention = "kohl-lidc", statistic: str = "value", **options: Any) -> None:
        check_choice("statistic", statistic, ENERGY_DISTANCE_TERMS)
        self.convention, self.statistic = find_convention(convention), statistic
        super().__init__(statistic, *_settings(self.convention), **options)

    def _scores(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> Tensor:
        score = energy_distance(samples, references, convention=self.convention, weights=weights, ignore=ignore)
        return getattr(score, self.statistic)  # type: ignore[no-any-return]


class _Overlap(_MeanOverImages):
    higher_is_better = True

    def __init__(self, convention: str | Convention = "kohl-lidc", **options: Any) -> None:
        self.convention = find_convention(convention)
        super().__init__(*_settings(self.convention), **options)


class MatchedIoU(_Overlap):
    """Mean of `metrics.matched_iou`, which counts all graders alike: `update` takes no weights but None."""

    def _scores(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> Tensor:
        if weights is not None:
            raise ValueError(
                "weights: got some, expected None, for an optimal matching counts all references alike; "
                "leave MatchedIoU out where references have weights"
            )
        return matched_iou(samples, references, convention=self.convention, ignore=ignore)


class BestIoU(_Overlap):
    """Mean of `metrics.best_iou`."""

    def _scores(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> Tensor:
        return best_iou(samples, references, convention=self.convention, weights=weights, ignore=ignore)


class BestDice(_Overlap):
    """Mean of `metrics.best_dice`."""

    def _scores(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> Tensor:
        return best_dice(samples, references, convention=self.convention, weights=weights, ignore=ignore)


class NCC(_MeanOverImages):
    """Mean of `metrics.ncc`; num_classes None for binary masks."""

    higher_is_better = True

    def __init__(self, num_classes: int | None = None, **options: Any) -> None:
        count_classes(num_classes)
        self.num_classes = num_classes
        super().__init__(num_classes, **options)

    def _scores(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> Tensor:
        return ncc(samples, references, num_classes=self.num_classes, weights=weights, ignore=ignore)


class _CalibrationError(_SumsOverImages):
    """Expected calibration error of all predictions seen, float64; NaN before any. The states are the diagram."""

    higher_is_better = False

    def __init__(self, bins: int, *settings: object, **options: Any) -> None:
        self.bins = check_count("bins", bins)
        super().__init__(**options)
        self.add_sums((self.bins,), ("count", "predicted", "observed"), self.bins, *settings)

    def compute(self) -> Tensor:
        """float64, a scalar."""
        return Reliability(**{name: total[None] for name, total in self.sums().items()}).error[0]

    def _batch_sums(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> dict[str, Tensor]:
        table = self._table(samples, references, weights, ignore)
        return {name: getattr(table, name).sum(0) for name in self.sums()}

    @abstractmethod
    def _table(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> Reliability:
        """A batch's predictions by bin."""


class PixelCalibrationError(_CalibrationError):
    """Of `metrics.pixel_reliability`; num_classes None for binary masks."""

    def __init__(self, num_classes: int | None = None, bins: int = BINS, **options: Any) -> None:
        count_classes(num_classes)
        self.num_classes = num_classes
        super().__init__(bins, num_classes, **options)

    def _table(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> Reliability:
        return pixel_reliability(
            samples, references, num_classes=self.num_classes, weights=weights, ignore=ignore, bins=self.bins
        )


class PresenceCalibrationError(_CalibrationError):
    """Of `metrics.presence_reliability`."""

    def __init__(self, bins: int = BINS, **options: Any) -> None:
        super().__init__(bins, **options)

    def _table(
        self, samples: RaggedMasks, references: RaggedMasks, weights: Tensor | None, ignore: Tensor | None
    ) -> Reliability:
        return presence_reliability(samples, references, weights=weights, ignore=ignore, bins=self.bins)


def _settings(rule: Convention) -> tuple[object, ...]:
    """All of a convention that decides a score."""
    return rule.num_classes, rule.averaged, float(rule.empty)
