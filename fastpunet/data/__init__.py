"""Readers of data sets, each a sequence of `Record`, and of single images; writers of hypotheses."""

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
