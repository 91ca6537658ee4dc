"""Measures hypotheses that come part by part, for an archive."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastpunet.hypotheses.measures import applicable, measure
from fastpunet.masks import PackedMasks
from fastpunet.prediction.preparation import Prepared
from fastpunet.prediction.request import Request


def measure_names(dims: int, request: Request) -> list[str]:
    """The area of images (2) or the volume of volumes (3), then what else was asked for, as far as these have it."""
    known = applicable(dims)
    return list(dict.fromkeys([known[0], *(name for name in request.measures if name in known)]))


class Measured:
    """The measures of hypotheses that come part by part."""

    def __init__(self, prepared: Prepared, request: Request, num_classes: int) -> None:
        self._size, self._spacing = prepared.source.size, prepared.spacing
        self._unit = None if request.unit == "auto" else request.unit
        self._classes = None if num_classes <= 2 else num_classes
        self._names = measure_names(len(self._size), request)
        self._length = "px" if prepared.spacing is None or self._unit == "px" else "mm"
        self._values: dict[str, list[Any]] = {name: [] for name in self._names}
        self._present: list[Tensor] = []

    def add(self, words: Tensor) -> None:
        masks = PackedMasks(words[None], self._size)
        if self._classes is None and masks.num_planes == 2:
            masks = PackedMasks(words[None, :, 1:].contiguous(), self._size)  # the foreground
        found = measure(masks, self._names, spacing=self._spacing, unit=self._unit)
        for name, values in found.values.items():
            self._values[name] += _without_nan(values[0].tolist())
        self._present.append(~found.empty[0])

    def found(self) -> dict[str, Any]:
        """Presence (for each class, if there are several), and each measure of each hypothesis, None for NaN."""
        return {
            "unit": self._length,
            "presence": torch.cat(self._present).double().mean(0).tolist(),
            "measures": self._values,
        }


def _without_nan(values: Any) -> Any:
    """Nested lists with None in place of NaN, which JSON does not have."""
    if isinstance(values, list):
        return [_without_nan(value) for value in values]
    return None if values != values else values
