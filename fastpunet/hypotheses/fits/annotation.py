"""What somebody said about a segmentation, wholly or in part: a mask, scribbles, points, a box, or several of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.arguments import check_count, check_label_tensor, check_positive
from fastpunet.data import IGNORE

CLICK_WEIGHT = 2.0  # found on validation data; between 1 and 4 it hardly matters (docs/results/assessment.md)

Labels: TypeAlias = Tensor | NDArray[Any]
Point: TypeAlias = Sequence[int]


@dataclass(frozen=True, eq=False)
class Area:
    """A label map (*size), in which pixels labelled `unknown` say nothing."""

    labels: Tensor
    unknown: int
    weight: float


@dataclass(frozen=True)
class Points:
    """Pixels, (H, W) or (D, H, W) indices, that have the label, or, unless `inside`, that have another one."""

    places: tuple[tuple[int, ...], ...]
    label: int
    inside: bool
    weight: float


@dataclass(frozen=True)
class Box:
    """Indices low .. high, both inside, along each axis, of a box around everything that has the label."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    label: int
    slack: int
    weight: float


@dataclass(frozen=True, eq=False)
class Annotation:
    """A full or partial annotation of one image, made by the functions below; `a + b` combines two.

    Every part has a weight: the number of times that each of its statements counts in the log-likelihood. A label of
    one pixel is one statement. In a mask every pixel speaks for itself, which is how models are trained, hence the
    weight 1. A point stands for more than its pixel, so it weighs 2 by default: enough for a few points not to be
    drowned by the prior, and so little that they do not overrule what the model finds plausible.

    >>> clicks = Annotation.points(include=[(20, 30), (22, 31)], exclude=[(40, 30)])
    >>> both = clicks + Annotation.box((15, 25), (35, 45))
    >>> len(both.parts)
    3
    """

    parts: tuple[Area | Points | Box, ...] = field(default=())

    def __add__(self, other: Annotation) -> Annotation:
        return Annotation(self.parts + other.parts)

    @staticmethod
    def mask(labels: Labels, *, weight: float = 1.0) -> Annotation:
        """A segmentation, int or bool (H, W) or (D, H, W), of class indices; 255, not annotated, is left out."""
        return Annotation.scribbles(labels, weight=weight)

    @staticmethod
    def scribbles(labels: Labels, *, unknown: int = IGNORE, weight: float = 1.0) -> Annotation:
        """A label map, int (H, W) or (D, H, W), in which all pixels that nobody drew on are `unknown`."""
        check_positive("weight", weight)
        if isinstance(labels, np.ndarray):
            labels = torch.from_numpy(np.ascontiguousarray(labels))
        checked = check_label_tensor("labels", labels, "(H, W) or (D, H, W)")
        return Annotation((Area(checked, unknown, weight),))

    @staticmethod
    def points(
        include: Sequence[Point] = (), exclude: Sequence[Point] = (), *, label: int = 1, weight: float = CLICK_WEIGHT
    ) -> Annotation:
        """Pixels inside the structure `label`, and pixels outside it, as (row, column) or (slice, row, column).

        Raises ValueError if there is no point at all.
        """
        check_positive("weight", weight)
        label = check_count("label", label, limit=255)
        inside, outside = _places("include", include), _places("exclude", exclude)
        if not inside and not outside:
            raise ValueError(
                "include: got no point in include or exclude, expected at least one, such as include=[(20, 30)]"
            )
        both = (Points(inside, label, True, weight), Points(outside, label, False, weight))
        return Annotation(tuple(part for part in both if part.places))

    @staticmethod
    def box(low: Point, high: Point, *, label: int = 1, slack: int = 0, weight: float = CLICK_WEIGHT) -> Annotation:
        """A box around the structure `label`, from index `low` to index `high`, both inside.

        It makes two statements about each side: the structure touches the side, and it does not reach beyond it. These
        are the two halves of the bounding box prior (Lempitsky et al. 2009, ICCV, "Image segmentation with a bounding
        box prior"). As in Hsu et al. 2019 (NeurIPS, "... using the Bounding Box Tightness Prior"), the pixel with the
        largest probability speaks for all: log max p(label) over the side's own layer of the box, and log(1 - max
        p(label)) over all pixels beyond the side. A weight of 1 to 8 makes no difference on validation data.

        slack: by how many pixels each side may be off, inwards and outwards, of a box that was drawn roughly.
        """
        check_positive("weight", weight)
        (first,), (last,) = _places("low", [low]), _places("high", [high])
        if len(first) != len(last) or any(a > b for a, b in zip(first, last, strict=True)):
            raise ValueError(f"high: got {last} and low {first}, expected low <= high along the same axes")
        label = check_count("label", label, limit=255)
        return Annotation((Box(first, last, label, check_count("slack", slack, least=0), weight),))


def _places(name: str, points: Sequence[Point]) -> tuple[tuple[int, ...], ...]:
    places = tuple(tuple(check_count(name, index, least=0) for index in point) for point in points)
    for place in places:
        if len(place) not in (2, 3):
            raise ValueError(f"{name}: got {place}, expected (row, column) or (slice, row, column)")
    return places


def shape_text(size: Sequence[int]) -> str:
    """A size as messages show it, such as 64 x 64."""
    return " x ".join(map(str, size))


def flat_index(place: Sequence[int], size: Sequence[int]) -> int:
    """The index of a pixel in the flattened image. Raises ValueError for one outside."""
    if len(place) != len(size) or any(index >= length for index, length in zip(place, size, strict=True)):
        raise ValueError(f"annotation: got {tuple(place)}, expected a pixel inside the image of {shape_text(size)}")
    return sum(index * math.prod(size[axis + 1 :]) for axis, index in enumerate(place))
