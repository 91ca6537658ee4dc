"""Modules of calibration errors, whose states are the reliability diagram of all predictions seen."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor

from fastpunet.arguments import check_choice, check_count
from fastpunet.metrics.mask_sets import RaggedMasks
from fastpunet.metrics.modules.base import SumsOverImages
from fastpunet.metrics.planes import count_classes
from fastpunet.metrics.reliability import BINS, KINDS, Reliability, pixel_reliability, presence_reliability
from fastpunet.metrics.shares import Predictions

STATISTICS = ("error", "mean_gap", "maximum_gap")


class _CalibrationError(SumsOverImages):
    """A calibration error of all predictions seen, float64; NaN before any.

    bins         their number
    statistic    a property of `Reliability`: "error", "mean_gap" or "maximum_gap"
    equal_count  the number of bins of equal count, into which those of equal width are divided; None: not at all. Take
                 many bins of equal width then, such as 1000
    """

    higher_is_better = False

    def __init__(
        self,
        shape: tuple[int, ...],
        bins: int,
        statistic: str,
        equal_count: int | None,
        *settings: object,
        **options: Any,
    ) -> None:
        self.bins = check_count("bins", bins)
        check_choice("statistic", statistic, STATISTICS)
        self.statistic = statistic
        self.equal_count = None if equal_count is None else check_count("equal_count", equal_count)
        super().__init__(**options)
        names = ("count", "predicted", "observed")
        self.add_sums((*shape, self.bins), names, self.bins, statistic, self.equal_count, *settings)

    @property
    def diagram(self) -> Reliability:
        """The table of all predictions seen, of one image."""
        return Reliability(**{name: total[None] for name, total in self.sums().items()})

    def compute(self) -> Tensor:
        """float64, a scalar."""
        table = self.diagram if self.equal_count is None else self.diagram.equal_count(self.equal_count)
        return getattr(table, self.statistic)[0]  # type: ignore[no-any-return]

    def batch_sums(
        self, samples: Predictions, references: RaggedMasks, options: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        table = self.table(samples, references, options)
        return {name: getattr(table, name).sum(0) for name in self.sums()}

    @abstractmethod
    def table(self, samples: Predictions, references: RaggedMasks, options: dict[str, Tensor]) -> Reliability:
        """A batch's predictions by bin."""


class PixelCalibrationError(_CalibrationError):
    """Of `metrics.pixel_reliability`; num_classes None for binary masks; kind as there."""

    def __init__(
        self,
        num_classes: int | None = None,
        bins: int = BINS,
        *,
        kind: str = "class-wise",
        statistic: str = "error",
        equal_count: int | None = None,
        **options: Any,
    ) -> None:
        total = count_classes(num_classes)
        check_choice("kind", kind, KINDS)
        self.num_classes, self.kind = num_classes, kind
        shape = () if num_classes is None or kind == "top-label" else (total,)
        super().__init__(shape, bins, statistic, equal_count, num_classes, kind, **options)

    def table(self, samples: Predictions, references: RaggedMasks, options: dict[str, Tensor]) -> Reliability:
        return pixel_reliability(
            samples,
            references,
            kind=self.kind,
            num_classes=self.num_classes,
            bins=self.bins,
            **options,  # type: ignore[arg-type]
        )


class PresenceCalibrationError(_CalibrationError):
    """Of `metrics.presence_reliability`."""

    def __init__(
        self, bins: int = BINS, *, statistic: str = "error", equal_count: int | None = None, **options: Any
    ) -> None:
        super().__init__((), bins, statistic, equal_count, **options)

    def table(self, samples: Predictions, references: RaggedMasks, options: dict[str, Tensor]) -> Reliability:
        return presence_reliability(samples, references, bins=self.bins, **options)  # type: ignore[arg-type]
