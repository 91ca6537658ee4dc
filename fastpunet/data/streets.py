"""Street scenes with five classes flipped at random (Kohl et al. 2018, section 4.2): which classes, and how often."""

from __future__ import annotations

from typing import NamedTuple

from fastpunet.data import camvid, cityscapes
from fastpunet.data.flips import ClassFlips
from fastpunet.data.record import Records


class Streets(NamedTuple):
    """A data set's classes, and the probability with which each of some is flipped."""

    classes: tuple[str, ...]
    flips: dict[int, float]

    def flipped(self, records: Records) -> ClassFlips:
        """Each record's label map as the distribution over its flips; twins are numbered after the classes."""
        return ClassFlips(records, self.flips, len(self.classes))


STREETS = {
    "camvid": Streets(camvid.CLASSES, camvid.FLIPS),
    "cityscapes": Streets(cityscapes.CLASSES, cityscapes.FLIPS),
}


def find_streets(kind: str) -> Streets:
    """The street scenes of that kind, as of `data.sources.read`. Raises ValueError for other data sets."""
    if kind not in STREETS:
        raise ValueError(f"class_flips: got data of kind {kind!r}, expected street scenes: {' or '.join(STREETS)}")
    return STREETS[kind]
