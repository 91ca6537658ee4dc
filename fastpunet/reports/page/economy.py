"""What a page gives up, step by step, until it is small enough to be sent by mail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastpunet.reports.page.region import Region

TOO_LARGE = "The image is so large that what latents are decoded from would make this page larger than 5 MB."
_LEAST_HYPOTHESES = 100


@dataclass(frozen=True)
class Economy:
    """What is left out or rounded to keep a page small.

    n       how many hypotheses the page holds
    half    latents and features in half precision
    part    whether the pad decodes the surroundings of what hypotheses outline alone
    no_pad  whether there is no pad
    """

    n: int
    half: bool = False
    part: bool = False
    no_pad: bool = False


def economies(n: int, *, pad: bool, binary: bool) -> Iterator[Economy]:
    """From no economy to as much as there is.

    n: the hypotheses that were drawn. pad: whether the page could have one. binary: whether outside of all outlines
    there is one class, so that a pad may leave that out.

    >>> [(each.n, each.part, each.no_pad) for each in economies(150, pad=True, binary=True)]
    [(150, False, False), (150, False, False), (150, True, False), (150, False, True), (100, False, True)]
    """
    yield Economy(n)
    if pad:
        yield Economy(n, half=True)
        if binary:
            yield Economy(n, half=True, part=True)
    while True:
        yield Economy(n, half=True, no_pad=True)
        if n <= _LEAST_HYPOTHESES:
            return
        n = max(_LEAST_HYPOTHESES, n // 2)


def told(economy: Economy, n: int, region: Region | None) -> list[str]:
    """An economy in sentences for the reader of the page.

    n: the hypotheses that were drawn. region: the part that the pad decodes if it decodes a part; None without a pad.
    That there is none is said in its place, by `TOO_LARGE`, and that it is rounded too, where outlines are explored:
    no other part of the page depends on it.
    """
    notes = []
    if region is not None and economy.part:
        notes.append(
            f'"Explore outlines" shows rows {region.rows.start} to {region.rows.stop - 1} and columns '
            f"{region.columns.start} to {region.columns.stop - 1} alone, around all that hypotheses outline: the whole "
            "would make this page larger than 5 MB."
        )
    if economy.n < n:
        notes.append(
            f"This page holds the first {economy.n} of {n} hypotheses, and counts these alone: all would make it "
            "larger than 5 MB."
        )
    return notes
