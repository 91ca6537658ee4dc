"""Records that are made when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import overload

from fastpunet.data.record import Record, Records


class LazyRecords(Sequence[Record], ABC):
    """The records at `places` of some source. A slice is such a sequence too, and its records keep their ids."""

    def __init__(self, places: Sequence[int]) -> None:
        self._places = places

    @abstractmethod
    def _record(self, place: int) -> Record:
        """The record at that place of the source."""

    @abstractmethod
    def _all_patients(self) -> Sequence[str]:
        """The patients at all places of the source, without reading a pixel."""

    @property
    def patients(self) -> list[str]:
        """Every record's patient, in order."""
        everyone = self._all_patients()
        return [everyone[place] for place in self._places]

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> LazyRecords: ...
    def __getitem__(self, index: int | slice) -> Record | LazyRecords:
        if isinstance(index, slice):
            part = copy(self)
            part._places = self._places[index]
            return part
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: got {index}, expected less than {len(self)}")
        return self._record(self._places[index])


class WrappedRecords(LazyRecords):
    """Base of wrappers: the places are those of other records."""

    def __init__(self, records: Records, places: Sequence[int] | None = None) -> None:
        super().__init__(range(len(records)) if places is None else places)
        self._records = records

    def _all_patients(self) -> Sequence[str]:
        return patients_of(self._records)


def patients_of(records: Records) -> list[str]:
    """Every record's patient; read from the records themselves only where the sequence has no `patients`."""
    known = getattr(records, "patients", None)
    return [record.patient for record in records] if known is None else list(known)
