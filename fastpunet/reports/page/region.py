"""The rectangle of an image in which hypotheses differ, and how the model's own grid lies under it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fastpunet.prediction.preparation import resample


@dataclass(frozen=True)
class Span:
    """Pixels start .. stop - 1 along one axis of an image."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Region:
    rows: Span
    columns: Span

    @staticmethod
    def whole(size: tuple[int, int]) -> Region:
        return Region(Span(0, size[0]), Span(0, size[1]))

    @staticmethod
    def around(marked: NDArray[np.bool_], margin: int) -> Region:
        """The rectangle around the marked pixels (H, W) and so many more on each side; the whole if none is marked."""
        if not marked.any():
            return Region.whole((marked.shape[0], marked.shape[1]))
        spans = []
        for axis, length in enumerate(marked.shape):
            places = np.flatnonzero(marked.any(1 - axis))
            spans.append(Span(max(0, int(places[0]) - margin), min(length, int(places[-1]) + 1 + margin)))
        return Region(*spans)


@dataclass(frozen=True, eq=False)
class Underlying:
    """The pixels of the model's grid that a span of the image's grid is interpolated from.

    span     of the model's grid
    weights  float32 (len of the image's span, len(span)), as `preparation.resample` weighs them; None where both grids
             are one
    """

    span: Span
    weights: NDArray[np.float32] | None

    @staticmethod
    def of(span: Span, length: int, model_length: int, *, resampled: bool) -> Underlying:
        """Under a span of an axis with `length` pixels, which has `model_length` where the model looks at it."""
        if not resampled:
            return Underlying(span, None)
        identity = torch.eye(model_length, dtype=torch.float32)[None, None]
        weights = resample(identity, (length, model_length))[0, 0, span.start : span.stop].numpy()
        used = np.flatnonzero(weights.any(0))
        under = Span(int(used[0]), int(used[-1]) + 1)
        return Underlying(under, weights[:, under.start : under.stop])
