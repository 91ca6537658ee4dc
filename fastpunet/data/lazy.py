"""Sequences of records that are read only when they are accessed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import overload

import numpy as np

from fastpunet.data.record import Record, Records
from fastpunet.intensity import Intensity

_SAME_SPACING = 0.01


@dataclass(frozen=True)
class Header:
    """The properties of a record that are known without reading its pixels."""

    name: str  # of its file or series
    shape: tuple[int, ...]  # of its image, (C, *size)
    masks: int  # number of masks; 0 if nobody graded the image
    spacing: tuple[float, ...] | None = (
        None  # mm between pixels along each axis of the size; None if the file does not say
    )
    orientation: str | None = None  # of the volume in the file, see `data.orientations`; None if the file does not say
    raters: tuple[str, ...] = ()  # the rater of each mask, in order; empty if the data set does not say


class LazyRecords(Sequence[Record], ABC):
    """The records at the indices `places` of a source. A slice is such a sequence too; its records keep their ids."""

    def __init__(self, places: Sequence[int]) -> None:
        self._places = places

    @abstractmethod
    def _record(self, place: int) -> Record:
        """The record at that place of the source."""

    @abstractmethod
    def _all_patients(self) -> Sequence[str]:
        """The patients at all places of the source, without reading a pixel."""

    def _header(self, place: int) -> Header:
        """The header of the record at that place of the source. Readers of files override this."""
        return _header(self._record(place))

    def header(self, index: int) -> Header:
        """The properties of a record that are known without its pixels. Raises the errors of reading the record."""
        return self._header(self._places[self._checked(index)])

    @property
    def patients(self) -> list[str]:
        """Every record's patient, in order."""
        everyone = self._all_patients()
        return [everyone[place] for place in self._places]

    @property
    def intensity(self) -> Intensity | None:
        """The rule by which stored grey values became these images, for a model's checkpoint; None if there is none."""
        return None

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
        return self._record(self._places[self._checked(index)])

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: got {index}, expected less than {len(self)}")
        return index


class WrappedRecords(LazyRecords):
    """The base class of wrappers, whose places are indices of other records."""

    def __init__(self, records: Records, places: Sequence[int] | None = None) -> None:
        super().__init__(range(len(records)) if places is None else places)
        self._records = records

    def _all_patients(self) -> Sequence[str]:
        return patients_of(self._records)

    def _header(self, place: int) -> Header:
        return header_of(self._records, place)

    @property
    def intensity(self) -> Intensity | None:
        return intensity_of(self._records)


def patients_of(records: Records) -> list[str]:
    """The patient of every record. The records themselves are read only if the sequence has no `patients`."""
    known = getattr(records, "patients", None)
    return [record.patient for record in records] if known is None else list(known)


def header_of(records: Records, index: int) -> Header:
    """The header of a record, taken from the record itself if the sequence has no headers."""
    known = getattr(records, "header", None)
    return _header(records[index]) if known is None else known(index)


def intensity_of(records: Records) -> Intensity | None:
    """The rule by which stored grey values became these images; None if it is unknown."""
    rule: Intensity | None = getattr(records, "intensity", None)
    return rule


def spacing_of(records: Records) -> tuple[float, ...] | None:
    """The spacing in mm that all records share, up to 1 %; None if they differ, or if one does not say."""
    spacings = [header_of(records, index).spacing for index in range(len(records))]
    known = np.array([spacing for spacing in spacings if spacing is not None])
    if len(known) < len(spacings) or not len(known):
        return None
    usual = np.median(known, axis=0)
    return tuple(usual.tolist()) if np.allclose(known, usual, rtol=_SAME_SPACING, atol=0) else None


def orientation_of(records: Records) -> str | None:
    """How the axes of all records' volumes lie in the body; None if they differ, or if one does not say."""
    found = {header_of(records, index).orientation for index in range(len(records))}
    return found.pop() if len(found) == 1 else None


def _header(record: Record) -> Header:
    name = record.name or f"record {record.id}"
    return Header(name, record.image.shape, len(record.masks), record.spacing, raters=record.raters)
