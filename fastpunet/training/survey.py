"""What a config for somebody's data depends on: sizes, channels, raters, labels, and how large marked things are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import Records
from fastpunet.data.lazy import header_of, patients_of
from fastpunet.data.record import IGNORE, Record
from fastpunet.progress import Progress

_LOOKED_AT = 2000  # records whose masks are read
_LARGE = 90  # percentile of the sizes of marked things


@dataclass(frozen=True)
class Survey:
    """Facts about the images to train on.

    channels  of the images
    sizes     how many images have which size, (H, W) or (D, H, W)
    raters    the largest number of masks of an image
    patients  their number; 0 if the data do not name any
    labels    the values in the masks, also of the other parts of the data set
    extent    the longer side of the box around all that a mask marks, in pixels: nine of ten masks have at most this
    """

    channels: int
    sizes: Counter[tuple[int, ...]]
    raters: int
    patients: int
    labels: frozenset[int]
    extent: float

    @property
    def images(self) -> int:
        return sum(self.sizes.values())

    @property
    def dims(self) -> int:
        return len(next(iter(self.sizes)))

    @property
    def least(self) -> tuple[int, ...]:
        """The smallest side along each axis."""
        return tuple(min(sides) for sides in zip(*self.sizes, strict=True))


def survey(records: Records, others: Sequence[Records] = ()) -> Survey:
    """Look at all headers, and at the masks of 2000 records at most, evenly spaced.

    others: further parts of the data set, of which the labels alone count. Raises ValueError for files that cannot be
    read.
    """
    headers = [header_of(records, place) for place in range(len(records))]
    labels: set[int] = set()
    marked, not_zero = [], []  # extents without and with pixels of label 255
    for record in _some(records, "reading masks"):
        for mask in record.masks:
            labels |= set(np.unique(mask).tolist())
            marked.append(_extent((mask != 0) & (mask != IGNORE)))
            not_zero.append(_extent(mask != 0))
    for other in others:
        for record in _some(other, "reading masks of other parts"):
            labels |= set(np.unique(record.masks).tolist())
    extents = [extent for extent in (not_zero if labels <= {0, IGNORE} else marked) if extent]
    return Survey(
        channels=headers[0].shape[0],
        sizes=Counter(header.shape[1:] for header in headers),
        raters=max(header.masks for header in headers),
        patients=len({patient for patient in patients_of(records) if patient}),
        labels=frozenset(labels),
        extent=float(np.percentile(extents, _LARGE)) if extents else 0.0,
    )


def _some(records: Records, label: str) -> Iterator[Record]:
    """At most 2000 records, evenly spaced."""
    places = np.unique(np.linspace(0, len(records) - 1, min(len(records), _LOOKED_AT)).astype(int)).tolist()
    with Progress(len(places), label, "image") as progress:
        for place in places:
            yield records[place]
            progress.update(1)


def _extent(marked: NDArray[np.bool_]) -> int:
    """The longest side of the box around the marked pixels; 0 if there are none."""
    sides = [np.flatnonzero(marked.any(tuple(set(range(marked.ndim)) - {axis}))) for axis in range(marked.ndim)]
    return max((int(side[-1] - side[0]) + 1 for side in sides if len(side)), default=0)
