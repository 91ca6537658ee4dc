"""Which patient is in train, val or test."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from fastpunet.data.reading import one_line, reading

PARTS = ("train", "val", "test")


def read_split(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """A split from a JSON file {"train": [patient, ...], "val": ..., "test": ...}.

    Raises FileNotFoundError, and ValueError for a file that does not hold that or has a patient twice.
    """
    expected = 'expected {"train": [patient, ...], "val": [...], "test": [...]}'
    with reading(Path(path), f"JSON, {expected}", "split"):
        split = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(split, dict) or set(split) != set(PARTS):
        raise ValueError(
            f"split: {path} holds {one_line(sorted(split) if isinstance(split, dict) else split, 80)}; {expected}"
        )
    if not all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in split.values()):
        raise ValueError(f"split: {path} holds something other than lists of names; {expected}")
    counts = Counter(name for part in PARTS for name in split[part])
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ValueError(
            f"split: {path} has {one_line(', '.join(twice[:8]))} twice; expected every patient once; take one out"
        )
    return split
