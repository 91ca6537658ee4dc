"""What all torchmetrics modules of scores have in common."""

from __future__ import annotations

import inspect
import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from fastpunet.arguments import check_choice
from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.mask_sets import RaggedMasks
from fastpunet.metrics.shares import Predictions
from fastpunet.optional import needed_for

with needed_for("scoring as torchmetrics does", "report"):
    from torchmetrics import Metric

_OF_A_BATCH = ("weights", "sample_weights", "ignore")  # arguments of a score that `update` takes
_ONE_PIXEL = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)


class SumsOverImages(Metric):
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
        samples: Predictions,
        references: RaggedMasks,
        *,
        weights: Tensor | None = None,
        sample_weights: Tensor | None = None,
        ignore: Tensor | None = None,
    ) -> None:
        """Add a batch; the arguments are as of the function that the metric is the mean of."""
        given = {"weights": weights, "sample_weights": sample_weights, "ignore": ignore}
        batch = self.batch_sums(samples, references, {k: value for k, value in given.items() if value is not None})
        for name, total in self.sums().items():
            setattr(self, self._states[name], total + batch[name])

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Draw one value, or a list of values of several steps, with Matplotlib; None: what `compute` returns.

        Returns the figure and its axes, as torchmetrics' own metrics do.
        """
        return self._plot(val, ax)

    @abstractmethod
    def batch_sums(
        self, samples: Predictions, references: RaggedMasks, options: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """What a batch adds to each state."""


class MeanOverImages(SumsOverImages):
    """Mean of a score over all images seen, those for which it is undefined left out; NaN before any.

    function  the score. Its keyword arguments are the metric's settings, but those that `update` takes
    terms     the fields of what the function returns, if that is not a tensor; the setting `statistic` names one
    """

    function: ClassVar[Callable[..., Any]]
    terms: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **settings: Any) -> None:
        parameters = inspect.signature(self.function).parameters
        named = {
            name: settings.pop(name, parameter.default)
            for name, parameter in parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and name not in _OF_A_BATCH
        }
        if self.terms:
            self.statistic = settings.pop("statistic", self.terms[0])
            check_choice("statistic", self.statistic, self.terms)
        if "convention" in named:
            named["convention"] = find_convention(named["convention"])
        self.check_settings(named)
        super().__init__(**settings)
        self.settings, self._takes = named, tuple(name for name in _OF_A_BATCH if name in parameters)
        self.add_sums((), ("total", "images"), getattr(self, "statistic", ""), *map(_identity, named.values()))

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Raise the function's own errors for settings that it does not take."""
        self.function(_ONE_PIXEL, _ONE_PIXEL, **settings)

    def compute(self) -> Tensor:
        """float64, a scalar."""
        sums = self.sums()
        return sums["total"] / sums["images"]

    def batch_sums(
        self, samples: Predictions, references: RaggedMasks, options: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        for name in options:
            if name not in self._takes:
                raise ValueError(
                    f"{name}: got weights, expected None, because {type(self).__name__} counts all masks alike; leave "
                    "them out"
                )
        scores = self.function(samples, references, **self.settings, **options)
        scores = (getattr(scores, self.statistic) if self.terms else scores).double()
        known = ~scores.isnan()
        return {"total": scores[known].sum(), "images": known.sum()}


def _identity(setting: object) -> object:
    """Of a convention, all that decides a score; other settings are themselves."""
    if not isinstance(setting, Convention):
        return setting
    numbers = float(setting.empty), float(setting.false_alarm)
    return setting.num_classes, setting.averaged, *numbers, setting.overlap, setting.strict
