"""Reduces records to one grader per image, which is all that most data sets have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastpunet.data.lazy import Header, WrappedRecords
from fastpunet.data.record import Record, Records


class OneGrader(WrappedRecords):
    """Keeps one mask of each record, for training on uni-modal ground truth.

    The mask is drawn uniformly or, if the record has weights, by these. The draw is a function of the seed (at least
    0) and the record's id.
    """

    def __init__(self, records: Records, seed: int) -> None:
        super().__init__(records)
        if seed < 0:
            raise ValueError(f"seed: got {seed}, expected at least 0")
        self._seed = seed

    def _header(self, place: int) -> Header:
        return replace(super()._header(place), masks=1, raters=())

    def _record(self, place: int) -> Record:
        record = self._records[place]
        if not len(record.masks):
            raise ValueError(
                f"records: nobody annotated record {record.id} ({record.name}); leave it out, see "
                "fastpunet.data.splits.graded"
            )
        rng = np.random.default_rng([self._seed, record.id])
        weights = None if record.weights is None else record.weights.astype(np.float64)
        grader = rng.choice(len(record.masks), p=None if weights is None else weights / weights.sum())
        raters = (record.raters[grader],) if record.raters else ()
        return replace(record, masks=record.masks[grader][None], weights=None, raters=raters)
