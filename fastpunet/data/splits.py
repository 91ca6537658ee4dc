"""Splits a data set into parts that share no patient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.lazy import WrappedRecords, header_of
from fastpunet.data.record import Record, Records


class Subset(WrappedRecords):
    """The records at `indices`, in that order, with their ids. Raises IndexError for an index out of range."""

    def __init__(self, records: Records, indices: Sequence[int] | NDArray[np.int64]) -> None:
        places = [int(index) for index in indices]
        for place in places:
            if not 0 <= place < len(records):
                raise IndexError(f"indices: got {place}, expected 0 .. {len(records) - 1}")
        super().__init__(records, places)

    def _record(self, place: int) -> Record:
        return self._records[place]


def graded(records: Records) -> Records:
    """The records that have at least one mask; the sequence itself if all have one. Raises ValueError if none has."""
    places = [place for place in range(len(records)) if header_of(records, place).masks]
    if not places:
        raise ValueError("data: no image has a mask, expected masks/<rater>/<name>.*, named as the images; add them")
    return records if len(places) == len(records) else Subset(records, places)


def split_by_patient(
    records_or_patients: Records | Sequence[str], shares: Mapping[str, float] | Sequence[float], seed: int
) -> list[NDArray[np.int64]]:
    """Indices of the records in each part, ascending. Parts are disjoint, and each patient's records are in one part.

    shares: the sizes of the parts in proportion to each other, in patients, such as [0.8, 0.2] or [530, 111, 103]; for
    a mapping, its values in order. The part of a patient is a function of seed, shares and the set of patients, and
    does not depend on the order of the records.

    Raises ValueError for a record without a patient, for shares that are not positive, and if there are so few patients
    that a part would be empty.

    >>> train, test = split_by_patient(["ann", "ben", "ann", "cem", "dan"], shares=[3, 1], seed=0)
    >>> train.tolist(), test.tolist()
    ([0, 1, 2, 3], [4])
    """
    items: Sequence[Record | str] = getattr(records_or_patients, "patients", records_or_patients)
    patients = [item if isinstance(item, str) else item.patient for item in items]
    parts = list(shares.values()) if isinstance(shares, Mapping) else list(shares)
    if not parts or not all(share > 0 and math.isfinite(share) for share in parts):
        raise ValueError(f"shares: got {parts}, expected positive numbers, one for each part")
    if not all(patients):
        raise ValueError(
            f"patients: record {patients.index('')} has no patient; name its patient, or split the records by index "
            "yourself"
        )
    names, patient_of = np.unique(np.array(patients, dtype=str), return_inverse=True)
    cuts = np.rint(np.cumsum(parts)[:-1] / np.sum(parts) * len(names)).astype(int)
    shuffled = np.split(np.random.default_rng(seed).permutation(len(names)), cuts)
    if not all(len(part) for part in shuffled):
        raise ValueError(
            f"patients: got {len(names)}, of which the parts would get {[len(part) for part in shuffled]}; "
            "expected at least one each; give more patients or other shares"
        )
    return [np.flatnonzero(np.isin(patient_of, part)) for part in shuffled]
