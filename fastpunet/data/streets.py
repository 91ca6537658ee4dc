"""The street scenes whose five classes are flipped at random, and how often (Kohl et al. 2018, section 4.2)."""

from __future__ import annotations

from typing import NamedTuple

from fastpunet.data import camvid, cityscapes
from fastpunet.data.flips import ClassFlips
from fastpunet.data.record import Records


class Streets(NamedTuple):
    """The classes of a data set, and the probabilities of those that are flipped."""

    classes: tuple[str, ...]
    flips: dict[int, float]

    def flipped(self, records: Records) -> ClassFlips:
        """The records with the distribution over their flips. The new classes are numbered after the existing ones."""
        return ClassFlips(records, self.flips, len(self.classes))


STREETS = {
    "camvid": Streets(camvid.CLASSES, camvid.FLIPS),
    "cityscapes": Streets(cityscapes.CLASSES, cityscapes.FLIPS),
}


def find_streets(kind: str) -> Streets:
    """The street scenes of a kind (see `data.sources.read`). Raises ValueError for other data sets."""
    if kind not in STREETS:
        raise ValueError(f"class_flips: got data of kind {kind!r}, expected street scenes: {' or '.join(STREETS)}")
    return STREETS[kind]
