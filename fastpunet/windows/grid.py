"""Where windows lie on an image, and how much each of them counts at each pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from fastpunet.uncompiled import not_compiled


@dataclass(frozen=True, eq=False)
class Span:
    """One window's interval along one axis, with a weight float64 for each of its pixels."""

    place: slice
    weights: Tensor
    share: float  # the mean over the axis of the weights


@dataclass(frozen=True, eq=False)
class Window:
    """A window of an image (D, H, W) or (H, W)."""

    place: tuple[Any, ...]  # the index of its pixels in a tensor (..., *size)
    weights: Tensor  # float32, of the window's size; at each pixel of the image those of all windows sum to 1
    share: float  # the mean of the weights over the pixels of the image; those of all windows sum to 1


@dataclass(frozen=True, eq=False)
class Row:
    """The windows at one place of an image's first axis, from which the next ones begin at `stop` (or nothing does)."""

    start: int
    stop: int
    windows: Iterator[Window]


def windows_over(
    size: tuple[int, ...], window: tuple[int, ...], overlap: float, device: torch.device | str = "cpu"
) -> Iterator[Window]:
    """Windows that cover an image of this size, all of one size, the last one along each axis shifted inside.

    Their weights are computed on `device`, without the host waiting for it.
    A window's weights are the product over the axes of cos^2, 1 in its middle and all but 0 at its edges, over the sum
    of all windows' there. Since windows form a grid, they are normalised along each axis alone.
    """
    return (window for row in rows_over(size, window, overlap, device) for window in row.windows)


def rows_over(
    size: tuple[int, ...], window: tuple[int, ...], overlap: float, device: torch.device | str = "cpu"
) -> Iterator[Row]:
    """The windows of `windows_over` row by row, in the same order."""
    first, *others = (
        spans(length, min(side, length), overlap, device) for length, side in zip(size, window, strict=True)
    )
    stops = [*(span.place.start for span in first[1:]), size[0]]
    for span, stop in zip(first, stops, strict=True):
        yield Row(span.place.start, stop, (_crossed((span, *along), device) for along in product(*others)))


def _crossed(along: tuple[Span, ...], device: torch.device | str) -> Window:
    weights = torch.ones((), dtype=torch.float64, device=device)
    for span in along:
        weights = weights[..., None] * span.weights
    place, share = (..., *(span.place for span in along)), math.prod(span.share for span in along)
    return Window(place, weights.float(), share)


@not_compiled
def spans(length: int, window: int, overlap: float, device: torch.device | str = "cpu") -> list[Span]:
    """Intervals that cover an axis, each `window` long, with weights that sum to 1 at every pixel.

    >>> [span.place.start for span in spans(10, 4, 0.5)], [span.place.start for span in spans(4, 4, 0.5)]
    ([0, 2, 4, 6], [0])
    """
    step = max(1, int(window * (1 - overlap)))
    places = [slice(start, start + window) for start in (*range(0, length - window, step), length - window)]
    middles = torch.arange(window, dtype=torch.float64, device=device) + 0.5
    profile = torch.sin(math.pi * middles / window).square()
    total = torch.zeros(length, dtype=torch.float64, device=device)
    for place in places:
        total[place] += profile
    shares = _shares(places, length, window)
    return [Span(place, profile / total[place], share) for place, share in zip(places, shares, strict=True)]


def _shares(places: list[slice], length: int, window: int) -> list[float]:
    """The means over the axis of the weights that `spans` computes on a device."""
    profile = [math.sin(math.pi * (i + 0.5) / window) ** 2 for i in range(window)]
    total = [0.0] * length
    for place in places:
        for i, value in enumerate(profile):
            total[place.start + i] += value
    return [sum(value / total[place.start + i] for i, value in enumerate(profile)) / length for place in places]
