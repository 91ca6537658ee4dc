"""Readers of data sets. Every data set is a sequence of `Record`."""

from fastpunet.data import (
    camvid,
    cityscapes,
    flips,
    folder,
    graders,
    inputs,
    lesion_pairs,
    lesion_volumes,
    lesions,
    lidc,
    sources,
    splits,
    streets,
    writing,
)
from fastpunet.data.record import IGNORE, Record, Records

__all__ = [
    "IGNORE",
    "Record",
    "Records",
    "camvid",
    "cityscapes",
    "flips",
    "folder",
    "graders",
    "inputs",
    "lesion_pairs",
    "lesion_volumes",
    "lesions",
    "lidc",
    "sources",
    "splits",
    "streets",
    "writing",
]
