"""Stochastic class flips: a label map with a known distribution over label maps (Kohl et al. 2018, section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.lazy import Header, WrappedRecords
from fastpunet.data.record import IGNORE, Record, Records

_MAX_CLASSES = 8  # 256 modes


def modes(probabilities: Mapping[int, float]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """All modes of k classes that flip independently: flipped bool (2^k, k), and their probabilities (2^k,).

    In mode m the i-th class is flipped if bit i of m is set. Raises ValueError for no or more than 8 classes and for a
    probability outside (0, 1).

    >>> flipped, weights = modes({3: 0.25, 7: 0.5})
    >>> flipped.tolist(), weights.tolist()
    ([[False, False], [True, False], [False, True], [True, True]], [0.375, 0.125, 0.375, 0.125])
    """
    if not 1 <= len(probabilities) <= _MAX_CLASSES:
        raise ValueError(f"probabilities: got {len(probabilities)} classes, expected 1 to {_MAX_CLASSES}; flip fewer")
    for label, probability in probabilities.items():
        if not 0 < probability < 1:
            raise ValueError(
                f"probabilities: got {probability} for class {label}, expected between 0 and 1; "
                "leave out a class that never flips"
            )
    flip = np.array(list(probabilities.values()))
    flipped = (np.arange(2 ** len(flip))[:, None] >> np.arange(len(flip)) & 1).astype(bool)
    return flipped, np.where(flipped, flip, 1 - flip).prod(axis=1)


def distinct_modes(
    weights: NDArray[np.floating], present: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The modes that differ in an image that has only some of the classes: their indices and probabilities, (2^k',).

    weights (2^k,) and the order of the modes are those of `modes`; present is bool (k,), with k' of them true. Modes
    that differ only in absent classes are equal. Of these the one that flips no absent class is kept, with the sum of
    their probabilities.

    >>> places, weights = distinct_modes(np.array([0.375, 0.125, 0.375, 0.125]), present=np.array([True, False]))
    >>> places.tolist(), weights.tolist()
    ([0, 1], [0.75, 0.25])
    """
    stands_for = np.arange(len(weights)) & (present.astype(int) << np.arange(len(present))).sum()
    places = np.unique(stands_for)
    return places, np.bincount(stands_for, weights)[places].astype(np.float64)


class ClassFlips(WrappedRecords):
    """Replaces each record's single label map by the distribution over label maps with randomly flipped classes.

    probabilities: maps a class to the probability with which all its pixels become class first_new + i, where i is the
    position of the class in the mapping. Classes flip independently. A record's masks are the 2^k modes (2^k, H, W) in
    the order of `modes`, and its weights are their probabilities, float32. Pixels labelled IGNORE keep that label. If
    an image lacks a class, several modes are equal; all of them are kept (see `distinct_modes`).

    Raises the errors of `modes`, and ValueError for classes and new labels that overlap or lie outside 0 .. 254. Access
    raises ValueError for a record with several masks, or with a label that flips make.
    """

    def __init__(self, records: Records, probabilities: Mapping[int, float], first_new: int) -> None:
        super().__init__(records)
        flipped, weights = modes(probabilities)
        self._new = range(first_new, first_new + len(probabilities))
        labels = (*probabilities, *self._new)
        if len(set(labels)) < len(labels) or not set(labels) <= set(range(IGNORE)):
            raise ValueError(
                f"first_new: got {first_new}, which turns {list(probabilities)} into {list(self._new)}; expected "
                f"labels of 0 .. {IGNORE - 1} that are not flipped themselves; set it to the number of classes"
            )
        self._weights = weights.astype(np.float32)
        self._modes = np.tile(np.arange(256, dtype=np.uint8), (len(flipped), 1))
        for new, label, column in zip(self._new, probabilities, flipped.T, strict=True):
            self._modes[column, label] = new

    def _header(self, place: int) -> Header:
        return replace(super()._header(place), masks=len(self._modes))

    def _record(self, place: int) -> Record:
        record = self._records[place]
        if len(record.masks) != 1:
            raise ValueError(
                f"records: record {record.id} has {len(record.masks)} masks, expected 1; see "
                "fastpunet.data.graders.OneGrader"
            )
        labels = record.masks[0]
        taken = np.intersect1d(labels, self._new)
        if taken.size:
            raise ValueError(
                f"records: record {record.id} has labels {taken[:8].tolist()}, which the flips use themselves; raise "
                "first_new to the number of classes"
            )
        return replace(record, masks=self._modes.take(labels, axis=1), weights=self._weights, raters=())
