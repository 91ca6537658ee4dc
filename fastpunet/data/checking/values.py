"""What the pixels of some images say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.checking.report import Report, listed, several
from fastpunet.data.inputs import Input
from fastpunet.intensity import EIGHT_BIT
from fastpunet.progress import Progress

LOOKED_AT = 64
_BITS = (8, 10, 12, 14)
_FEW = 20  # the largest value up to which an 8-bit image looks like a mask
_SCALES = 12  # how many times larger than those of the others the values of an image may be


@dataclass(frozen=True)
class Looked:
    """The stored values of an image."""

    image: Input
    dtype: str
    least: float
    most: float
    only_two: bool  # whether there is none between the least and the most

    @property
    def range(self) -> str:
        return f"{self.least:g} .. {self.most:g}"


def evenly(count: int, most: int = LOOKED_AT) -> list[int]:
    """At most that many of the indices below `count`, evenly spaced.

    >>> evenly(3), evenly(9, 3)
    ([0, 1, 2], [0, 4, 8])
    """
    return [int(index) for index in np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))]


def look_at(report: Report, images: Sequence[Input]) -> list[Looked]:
    """Read at most 64 images, evenly spaced. Those that cannot be read are problems."""
    places = evenly(len(images))
    looked = []
    with Progress(len(places), "reading images", "image") as progress:
        for place in places:
            image = images[place]
            try:
                values = image.read()
                looked.append(_describe(image, values))
            except (ValueError, OSError) as error:
                report.failure(error)
            progress.update(1)
    return looked


def _describe(image: Input, values: NDArray[Any]) -> Looked:
    least, most = values.min(), values.max()
    only_two = bool(((values == least) | (values == most)).all())
    return Looked(image, str(values.dtype), float(least), float(most), only_two)


def describe_values(report: Report, looked: Sequence[Looked], total: int) -> None:
    """Add the ranges of stored values, and those that look wrong."""
    if not looked:
        return
    by_dtype: dict[str, list[Looked]] = defaultdict(list)
    for one in looked:
        by_dtype[one.dtype].append(one)
    ranges = [
        f"{dtype} {min(one.least for one in group):g} .. {max(one.most for one in group):g}"
        for dtype, group in by_dtype.items()
    ]
    report.facts["grey values"] = f"{', '.join(ranges)} (looked at {len(looked)} of {total})"
    constant = [f"{one.image.name} ({one.least:g})" for one in looked if one.least == one.most]
    if constant:
        report.problem(f"{several(len(constant), 'image')} with one value everywhere: {listed(constant)}")
    varied = [one for one in looked if one.least < one.most]
    eight_bit = [one for one in varied if one.image.default_intensity == EIGHT_BIT]
    dark = [one for one in eight_bit if one.most <= _FEW]
    if dark:
        report.problem(
            f"{several(len(dark), 'image')} of 8 bits with few of their 256 values: "
            f"{listed(f'{one.image.name} ({one.range})' for one in dark)}; they may be masks, or need --intensity"
        )
    masks = [
        f"{one.image.name} ({one.least:g} and {one.most:g})" for one in eight_bit if one.only_two and one.most > _FEW
    ]
    if masks:
        report.problem(
            f"{several(len(masks), 'image')} of two values: {listed(masks)}; they may be masks, which a data set "
            "has in masks/<rater>/, under the names of their images"
        )
    wide = [one for one in varied if one.image.default_intensity != EIGHT_BIT]
    _note_bits(report, [one for one in wide if one.dtype.startswith(("uint", "int")) and one.least >= 0])
    _note_scales(report, wide)


def _note_bits(report: Report, looked: Sequence[Looked]) -> None:
    """Integers of more than 8 bits whose range is that of fewer bits than they are stored in."""
    if not looked:
        return
    most = max(one.most for one in looked)
    bits = next((bits for bits in _BITS if most < 1 << bits), None)
    if bits is not None:
        report.note(
            f"{several(len(looked), 'image')} of more than 8 bits with values up to {most:g}, as of {bits} bits: "
            "without a rule each is scaled by its own percentiles, and --intensity "
            f"range:0:{(1 << bits) - 1} keeps them comparable"
        )


def _note_scales(report: Report, looked: Sequence[Looked]) -> None:
    """Images whose values are of another order than those of the others."""
    widths = [one.most - one.least for one in looked]
    usual = float(np.median(widths)) if widths else 0.0
    odd = [
        f"{one.image.name} ({one.range})"
        for one, width in zip(looked, widths, strict=True)
        if not usual / _SCALES <= width <= usual * _SCALES
    ]
    if odd:
        report.note(f"{several(len(odd), 'image')} with values on another scale than the rest: {listed(odd)}")
