"""Finds the parts of a data set that is divided into images to train on, to validate on and to test on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from fastpunet.data.sources import recognise

_NAMES = {"file": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test", "testing")}


class Parts(NamedTuple):
    """Files or folders relative to the data set's folder; "" for a part that there is not."""

    file: str = ""
    validation: str = ""
    test: str = ""


def find_parts(data: Path) -> Parts:
    """The parts of the data set at a path, by their names: train, val and test, or bundles such as lidc_train_128.npz.

    There are none where the path is a data set itself, or where two files could be one part. Cityscapes' parts are the
    folders in leftImg8bit; its test part has no labels and does not count.

    >>> find_parts(Path("nowhere"))
    Parts(file='', validation='', test='')
    """
    streets = data / "leftImg8bit"
    if streets.is_dir():
        found = {part: [name for name in names if (streets / name).is_dir()] for part, names in _NAMES.items()}
        found["test"] = []
    else:
        entries = [entry.name for entry in sorted(data.glob("*")) if _is_data(entry)]
        found = {part: [name for name in entries if _is_named(name, names)] for part, names in _NAMES.items()}
    if len(found["file"]) != 1:
        return Parts()
    return Parts(**{part: names[0] for part, names in found.items() if len(names) == 1})


def _is_named(file: str, names: tuple[str, ...]) -> bool:
    """Whether one of the words in a file's name is one of the names."""
    return bool(set(names) & set(re.split(r"[^a-z]+", file.lower())))


def _is_data(entry: Path) -> bool:
    try:
        return bool(recognise(entry))
    except (ValueError, OSError):
        return False
