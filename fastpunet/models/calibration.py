"""How far a model's probabilities could be trusted on images that it was not trained on: kept with its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastpunet.arguments import is_number
from fastpunet.models.from_dict import from_dict

_TOLD = 0.0005  # a bias that is not 0.0 points


@dataclass(frozen=True)
class Reliability:
    """What a model said, in bins, and what graders did. Bins without a prediction are left out.

    count      predictions of each bin
    predicted  their mean probability
    observed   the mean share of graders that agreed
    """

    count: tuple[float, ...]
    predicted: tuple[float, ...]
    observed: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("count", "predicted", "observed"):
            values = getattr(self, name)
            if (
                not isinstance(values, tuple | list)
                or len(values) != len(self.count)
                or not all(is_number(value) for value in values)
            ):
                raise ValueError(f"calibration: {name} is {values!r:.80}, expected a number for each bin")
            object.__setattr__(self, name, tuple(map(float, values)))
        if not self.count or min(self.count) <= 0:
            raise ValueError(f"calibration: count is {self.count!r:.80}, expected positive numbers")

    @property
    def error(self) -> float:
        """The expected calibration error, |predicted - observed| averaged over predictions (Guo et al. 2017)."""
        return self._mean([abs(p - o) for p, o in zip(self.predicted, self.observed, strict=True)])

    @property
    def bias(self) -> float:
        """Predicted minus observed, averaged over predictions. Above 0 the model predicts too high probabilities."""
        return self._mean([p - o for p, o in zip(self.predicted, self.observed, strict=True)])

    def _mean(self, values: Sequence[float]) -> float:
        return math.fsum(c * v for c, v in zip(self.count, values, strict=True)) / math.fsum(self.count)


@dataclass(frozen=True)
class Calibration:
    """How far a model's probabilities agreed with graders on images that it was not trained on.

    data        these images in words, such as "validation data"
    images      their number
    patients    whose they are
    hypotheses  drawn of each image
    pixels      the share of hypotheses with a pixel in the foreground; of several classes, with its most probable class
    presence    the share of hypotheses that outline anything; None for several classes
    volume      the levels 0.1 .. 0.9: graders' volumes are below the hypotheses' quantile of a level as often as it
                says; None for several classes

    It is a fact about the weights that it was measured with. Whoever changes these sets `model.calibration = None`.
    """

    data: str
    images: int
    patients: int
    hypotheses: int
    pixels: Reliability
    presence: Reliability | None = None
    volume: Reliability | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.data, str):
            raise ValueError(f"calibration: data is {self.data!r:.80}, expected words")
        for name in ("images", "patients", "hypotheses"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"calibration: {name} is {value!r:.80}, expected a whole number of at least 1")
        for name in ("pixels", "presence", "volume"):
            value = getattr(self, name)
            if isinstance(value, Mapping):
                object.__setattr__(self, name, from_dict("calibration", Reliability, value))
            elif not isinstance(value, Reliability) and (value is not None or name == "pixels"):
                raise ValueError(f"calibration: {name} is {value!r:.80}, expected count, predicted and observed")

    @classmethod
    def from_dict(cls, values: object) -> Calibration:
        """Read the result of `to_dict`. Raises ValueError."""
        found: Calibration = from_dict("calibration", cls, values)
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def errors(self) -> dict[str, Any]:
        """The figures of `str` for JSON: errors and biases instead of the tables of bins."""
        found = {name: getattr(self, name) for name in ("presence", "pixels", "volume")}
        parts = {
            name: {"error": round(part.error, 5), "bias": round(part.bias, 5)} for name, part in found.items() if part
        }
        about = {"data": self.data, "images": self.images, "patients": self.patients, "hypotheses": self.hypotheses}
        return {**about, **parts}

    def __str__(self) -> str:
        """In a sentence.

        >>> one = Reliability((4.0,), (0.5,), (0.25,))
        >>> print(Calibration("test data", 2, 1, 16, pixels=one, presence=one))
        calibration on 2 images (1 patient, test data): presence off by 25.0 points on average (25.0 too often), \
pixels by 25.0
        """
        parts = []
        if self.presence is not None:
            way = "too often" if self.presence.bias > 0 else "too seldom"
            balance = f" ({100 * abs(self.presence.bias):.1f} {way})" if abs(self.presence.bias) >= _TOLD else ""
            parts.append(f"presence off by {100 * self.presence.error:.1f} points on average{balance}")
        parts.append(f"pixels {'by' if parts else 'off by'} {100 * self.pixels.error:.1f}")
        if self.volume is not None:
            parts.append(f"quantiles of the volume by {100 * self.volume.error:.1f}")
        who = f"{self.patients} patient{'s' if self.patients > 1 else ''}"
        what = f"{self.images} image{'s' if self.images > 1 else ''}"
        return f"calibration on {what} ({who}, {self.data}): {', '.join(parts)}"
