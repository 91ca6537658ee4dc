"""Which patient is in train, val or test."""

from __future__ import annotations

import json
import os
from pathlib import Path

PARTS = ("train", "val", "test")


def read_split(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """A split from a JSON file {"train": [patient, ...], "val": ..., "test": ...}.

    Raises FileNotFoundError, and ValueError for a file that does not hold that or has a patient twice.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"split: no file {str(path)!r}")
    expected = 'expected {"train": [patient, ...], "val": [...], "test": [...]}'
    try:
        split = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"split: {path} is no JSON ({error}); {expected}") from None
    if not isinstance(split, dict) or set(split) != set(PARTS):
        raise ValueError(f"split: {path} holds {sorted(split) if isinstance(split, dict) else split}; {expected}")
    if not all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in split.values()):
        raise ValueError(f"split: {path} holds something else than lists of names; {expected}")
    names = [name for part in PARTS for name in split[part]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"split: {path} has {', '.join(twice)} twice; expected every patient once; take one out")
    return split
