"""How stored grey values become the numbers that a model sees: one rule, kept with the model's weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.arguments import check_choice, is_number
from fastpunet.warning import warn

RULES = ("range", "percentiles")
_SPREAD = 1 / 12  # share of the range: grey values that use less of it were most likely stored in other units


@dataclass(frozen=True)
class Intensity:
    """A rule that takes grey values as a file stores them to floats in [0, 1], clipped.

    rule "range":        `low` becomes 0 and `high` becomes 1, for every image alike
    rule "percentiles":  the percentiles `low` and `high` of each image (or volume) become 0 and 1

    A display window is a range: see `Intensity.window`. Readers of data sets take `intensity=` and apply the rule to
    the values that a file stores. A checkpoint stores the rule that a model was trained with, `model.intensity`, as the
    JSON of `to_dict`; code that reads images for that model passes it to the reader. None in either place means that
    no rule is known. Readers then use the default of their format: `EIGHT_BIT` for 8-bit pictures and bundles, and
    `PERCENTILES` for formats whose numbers have no fixed range (16-bit pictures, NIfTI).

    >>> Intensity.window(centre=50, width=100).apply(np.array([-20, 0, 25, 300])).tolist()
    [0.0, 0.0, 0.25, 1.0]
    """

    rule: str
    low: float
    high: float

    def __post_init__(self) -> None:
        check_choice("intensity.rule", self.rule, RULES)
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, np.integer | np.floating):
                value = value.item()
            if not is_number(value):
                raise ValueError(f"intensity.{name}: got {_short(value)}, expected a finite number")
            object.__setattr__(self, name, float(value))
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            raise ValueError(f"intensity: got low {self.low:g} and high {self.high:g}, expected low < high")
        if self.rule == "percentiles" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"intensity: got percentiles {self.low:g} and {self.high:g}, expected 0 .. 100")

    @classmethod
    def range(cls, low: float, high: float) -> Intensity:
        """Stored values `low` .. `high` become 0 .. 1: `Intensity.range(0, 4095)` for 12-bit images."""
        return cls("range", low, high)

    @classmethod
    def window(cls, centre: float, width: float) -> Intensity:
        """A radiologist's display window: `width` stored values around `centre` become 0 .. 1. Raises ValueError."""
        if not is_number(centre) or not is_number(width) or width <= 0:
            raise ValueError(f"intensity: got centre {centre!r} and width {width!r}, expected numbers and width > 0")
        return cls("range", centre - width / 2, centre + width / 2)

    @classmethod
    def percentiles(cls, low: float = 0.5, high: float = 99.5) -> Intensity:
        """Percentiles of each image become 0 and 1; if the two are equal, its minimum and maximum do."""
        return cls("percentiles", low, high)

    @classmethod
    def parse(cls, text: str) -> Intensity:
        """A rule as written on a command line: "range:0:4095", "window:40:400" or "percentiles:0.5:99.5".

        >>> Intensity.parse("window:40:400")
        Intensity(rule='range', low=-160.0, high=240.0)
        """
        rule, *numbers = text.split(":")
        makers = {"range": cls.range, "window": cls.window, "percentiles": cls.percentiles}
        try:
            first, second = map(float, numbers)
            make = makers[rule]
        except (KeyError, ValueError):
            raise ValueError(
                f"intensity: got {text!r}, expected range:LOW:HIGH, window:CENTRE:WIDTH or percentiles:LOW:HIGH"
            ) from None
        return make(first, second)

    def __str__(self) -> str:
        """The rule as `parse` reads it.

        >>> str(Intensity.range(0, 4095))
        'range:0.0:4095.0'
        """
        return f"{self.rule}:{self.low!r}:{self.high!r}"

    @classmethod
    def from_dict(cls, values: object) -> Intensity:
        """Read the result of `to_dict`, or {"rule": "window", "centre": c, "width": w}. Raises ValueError."""
        if isinstance(values, Mapping):
            rest = {key: value for key, value in values.items() if key != "rule"}
            if values.get("rule") == "window" and set(rest) == {"centre", "width"}:
                return cls.window(**rest)
            if values.get("rule") in RULES and set(rest) == {"low", "high"}:
                return cls(str(values["rule"]), **rest)
        raise ValueError(
            f"intensity: got {_short(values)}, expected rule (range or percentiles), low and high; "
            "or rule window, centre and width"
        )

    def to_dict(self) -> dict[str, Any]:
        """The rule as a dict for JSON: {"rule": ..., "low": ..., "high": ...}."""
        return {"rule": self.rule, "low": self.low, "high": self.high}

    def resolve(self, values: NDArray[Any]) -> Intensity:
        """The fixed range that this rule gives for an image or volume; percentiles are taken over all its values.

        For a constant image the range starts at its value, so that it becomes 0 everywhere.
        """
        if self.rule == "range":
            return self
        low, high = (float(value) for value in np.percentile(values, (self.low, self.high)))
        if not low < high:
            low, high = float(values.min()), float(values.max())
        return Intensity.range(low, high if high > low else low + max(1.0, abs(low)))

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Stored grey values of one image, of any shape and real dtype, to float32 in [0, 1] of that shape.

        8-bit values under `EIGHT_BIT` become exactly value / 255 in float32.
        """
        fixed = self.resolve(values)
        if values.dtype == np.uint8:
            return _scale(np.arange(256), fixed.low, fixed.high)[values]
        return _scale(values, fixed.low, fixed.high)

    def outside(self, values: NDArray[Any], name: str) -> str | None:
        """The text of a warning if the stored values of the image `name` do not fit this range; else None.

        They do not fit if some lie further outside the range than it is wide, or if all of them lie within a twelfth
        of it. A rule of percentiles fits every image, and there is no warning for a constant image.
        """
        if self.rule != "range" or not values.size:
            return None
        return _outside(float(values.min()), float(values.max()), self.low, self.high, name)

    def warn_if_outside(self, values: NDArray[Any], name: str) -> None:
        """Issue the warning of `outside` as a UserWarning, if there is one."""
        message = self.outside(values, name)
        if message:
            warn(message)


EIGHT_BIT = Intensity.range(0, 255)
PERCENTILES = Intensity.percentiles()


def warn_if_unscaled(least: float, most: float, name: str = "images") -> None:
    """Warn (UserWarning) if a model's floats are far from [0, 1], where every `Intensity` puts them.

    least, most: the smallest and the largest pixel, for a model whose `intensity` is known. Pixels of 0 .. 255 are too
    large, and those that were divided by 255 twice too small.
    """
    message = _outside(least, most, 0.0, 1.0, name)
    if message:
        warn(message)


def _outside(least: float, most: float, low: float, high: float, name: str) -> str | None:
    width = high - low
    far = least < low - width or most > high + width
    narrow = least < most and low <= least and most < low + width * _SPREAD
    if not far and not narrow:
        return None
    return (
        f"{name}: got grey values from {least:g} to {most:g}, expected about {low:g} to {high:g}, as in training; "
        "scale them likewise, or give the intensity rule that fits them"
    )


def _scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    return ((np.clip(values.astype(np.float64), low, high) - low) / (high - low)).astype(np.float32)


def _short(values: object) -> str:
    text = repr(values)
    return text if len(text) <= 80 else text[:77] + "..."
