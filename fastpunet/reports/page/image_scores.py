"""Scores of single images, which `fastpunet evaluate --output STEM` writes to STEM.csv."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from fastpunet.data.reading import one_line
from fastpunet.scoring.registry import SCORES, WINNER

_NEEDED = ("method", "n", "id")


@dataclass(frozen=True)
class ImageScores:
    """The scores of a method, of the largest number of hypotheses that was scored.

    n       that number
    titles  score -> its title; the one by which methods are compared comes first
    values  the id of an image -> score -> its mean over the checkpoints of the method, where it is defined
    """

    n: int
    titles: Mapping[str, str]
    values: Mapping[int, Mapping[str, float]]


def read_scores(path: str | os.PathLike[str]) -> ImageScores:
    """Read the scores of one method. Raises ValueError or OSError, naming the file, for anything else."""
    rows = list(_rows(Path(path)))
    methods = sorted({method for method, *_ in rows})
    if len(methods) > 1:
        raise ValueError(f"scores: {path} is about {', '.join(methods):.200}, expected one method; evaluate it alone")
    n = max(n for _, n, *_ in rows)
    collected: dict[int, dict[str, list[float]]] = {}
    for _, its, image, scores in rows:
        if its == n:
            for name, value in scores.items():
                collected.setdefault(image, {}).setdefault(name, []).append(value)
    values = {image: {name: fmean(several) for name, several in scores.items()} for image, scores in collected.items()}
    found = {name for scores in values.values() for name in scores}
    order = sorted(found, key=lambda name: (name != WINNER, list(SCORES).index(name)))
    return ImageScores(n, {name: SCORES[name].title for name in order}, values)


def _rows(path: Path) -> Iterator[tuple[str, int, int, dict[str, float]]]:
    """Method, number of hypotheses, id of the image and defined scores of each row."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            names = [name for name in table.fieldnames or () if name in SCORES and SCORES[name].better]
            if not names or not set(_NEEDED) <= set(table.fieldnames or ()):
                raise ValueError("it has no columns of scores")
            empty = True
            for row in table:
                empty = False
                scores = {name: float(row[name]) for name in names}
                finite = {name: value for name, value in scores.items() if math.isfinite(value)}
                yield row["method"], int(row["n"]), int(row["id"]), finite
            if empty:
                raise ValueError("it has no rows")
    except (ValueError, TypeError, csv.Error) as error:  # a row that is too short has None
        reason = one_line(error, 200)
        raise ValueError(f"scores: {path}: {reason}; expected STEM.csv of fastpunet evaluate --output STEM") from None
