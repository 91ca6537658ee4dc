"""Whose segmentations records hold, for models that tell raters apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import Record, Records
from fastpunet.data.lazy import header_of


def places_of(record: Record, graders: NDArray[np.int64], raters: Sequence[str]) -> list[int]:
    """The places of a record's graders among the raters that a model tells apart. ValueError for another rater."""
    names = [record.raters[grader] if record.raters else "" for grader in graders]
    _check_known(record.name or f"record {record.id}", names, raters)
    return [raters.index(name) for name in names]


def check_raters(training: Records, validation: Records | None, raters: Sequence[str]) -> None:
    """Raise ValueError, before anything is trained, for masks of other raters, and for raters without any mask.

    No image is read. The prior of a rater without a mask would stay as it began, and be as probable as the others.
    """
    trained: set[str] = set()
    for records in (training, validation or ()):
        for index in range(len(records)):
            header = header_of(records, index)
            names = header.raters or ("",) * header.masks
            _check_known(header.name, names, raters)
            trained |= set(names) if records is training else set()
    idle = [rater for rater in raters if rater not in trained]
    if idle:
        raise ValueError(
            f"model.prior: no image to train on has a mask of {', '.join(idle)}, expected masks of each rater; leave "
            "out the raters without masks"
        )


def _check_known(image: str, names: Iterable[str], raters: Sequence[str]) -> None:
    for name in names:
        if name not in raters:
            raise ValueError(
                f"model.prior: {image} was annotated by {name!r}, expected one of the raters {', '.join(raters)}; name "
                "every folder of masks"
            )
