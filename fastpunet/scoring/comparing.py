"""Compares two methods on the images that both are scored on: the difference, its interval, and a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fastpunet.arguments import check_choice
from fastpunet.scoring.estimates import LEVEL, known
from fastpunet.scoring.evaluation import Evaluated, Evaluation, of_method
from fastpunet.scoring.image_names import ImageNames
from fastpunet.scoring.jackknife import pseudo_values, spread
from fastpunet.scoring.registry import SCORES, WINNER
from fastpunet.scoring.swapping import swap_p_value

SIGNIFICANT = 0.05
Key = TypeVar("Key")


@dataclass(frozen=True)
class Difference:
    """Score of a minus score of b, over the images for which all checkpoints of both have the score.

    value, low, high  the difference of the means over checkpoints, and its 95 % interval; NaN where there is none
    p                 two-sided, of the hypothesis that there is no difference. NaN if it cannot be tested
    holm              p after Holm's correction for all comparisons made together (see `holm`); before it, p itself
    images, patients  how many of each both have
    checkpoints       how many a has, and how many b has
    """

    score: str
    n: int
    value: float
    low: float
    high: float
    p: float
    holm: float
    images: int
    patients: int
    checkpoints: tuple[int, int]

    @property
    def holds(self) -> bool:
        """Whether the difference is significant at 5 % after Holm's correction."""
        return self.holm < SIGNIFICANT

    @property
    def a_is_better(self) -> bool:
        """Whether the score of a is the better one. No claim if the difference does not hold."""
        return self.value * SCORES[self.score].better > 0


def compare(
    a: Evaluated | Sequence[Evaluation], b: Evaluated | Sequence[Evaluation], score: str = WINNER, n: int | None = None
) -> Difference:
    """Compare two methods, paired by image.

    Args:
        a, b: the evaluation of one checkpoint, or of several training seeds of a method, on the same data set. Images
            that only one of them has, or for which a checkpoint's score is undefined, do not count.
        score: the name of a score in `fastpunet.scoring.registry.SCORES`.
        n: the number of hypotheses; None: the largest at which both are scored.

    Returns a `Difference`. With one checkpoint on either side, p is of a test by patient: under equality the two could
    be swapped for any patient (for a mean, the sign of the patient's difference; exact up to 13 patients, else 9999
    random swaps). It is about these checkpoints. With several seeds, interval and p are of the t distribution, with the
    variances over patients and over seeds (`fastpunet.scoring.jackknife`): they are about other seeds, too, of the
    methods that have several. For scores without intervals, calibration errors, that test is conservative.

    Raises ValueError, naming the argument, for a score or n that one of them lacks, and for methods without a common
    image.

    >>> images = [ImageNames(i, str(i)) for i in range(8)]
    >>> worse, better = (Evaluation({4: {"value": v + np.arange(8) / 9}}, images) for v in (0.2, 0.1))
    >>> difference = compare(worse, better, "value")
    >>> round(difference.value, 3), difference.p, difference.a_is_better
    (0.1, 0.0078125, False)
    """
    methods = of_method(a), of_method(b)
    check_choice("score", score, tuple(SCORES))
    n = _count(methods, score, n)
    places = _common([method.images for method in methods])
    if not len(places[0]):
        raise ValueError("b: has no image in common with a; score both on the same data set")
    tables = [[part.scores[n][score][at] for part in m.checkpoints] for m, at in zip(methods, places, strict=True)]
    used = np.all([known(table) for parts in tables for table in parts], 0)
    statistic, checkpoints = SCORES[score].overall, (len(tables[0]), len(tables[1]))
    if not used.any():
        unknown = float("nan")
        return Difference(score, n, unknown, unknown, unknown, unknown, unknown, 0, 0, checkpoints)
    names = np.array([methods[0].images[i].patient for i in places[0]])[used]
    patients, groups = np.unique(names, return_inverse=True)
    sums = [np.stack([statistic.sums(table[used]) for table in parts]) for parts in tables]
    values = [float(statistic.of_sums(part.sum(1)).mean()) for part in sums]
    value = values[0] - values[1]
    around = spread([pseudo_values(part, groups, statistic.of_sums) for part in sums])
    half = around.quantile(LEVEL) * np.sqrt(around.variance) if statistic.interval else float("nan")
    p = float("nan")
    if np.isfinite(value) and len(patients) > 1:
        if max(checkpoints) == 1:
            p = swap_p_value(sums[0][0], sums[1][0], groups, statistic.of_sums)
        else:
            p = around.p_value(value)
    ends = float(value - half), float(value + half)
    return Difference(score, n, value, *ends, p, p, int(used.sum()), len(patients), checkpoints)


def share_images(a: Evaluated, b: Evaluated) -> bool:
    """Whether both are scored on an image in common. Models of volumes and models of slices are not."""
    return len(_common([a.images, b.images])[0]) > 0


def holm(differences: Mapping[Key, Difference]) -> dict[Key, Difference]:
    """The same differences, whose p is corrected for their number (Holm 1979).

    The smallest of k is multiplied by k, the next by k - 1, and so on; none becomes smaller than the one before. Those
    that could not be tested do not count.
    """
    tested = [key for key, found in differences.items() if not np.isnan(found.p)]
    tested.sort(key=lambda key: differences[key].p)
    corrected, least = dict(differences), 0.0
    for rank, key in enumerate(tested):
        least = max(least, min(1.0, (len(tested) - rank) * differences[key].p))
        corrected[key] = replace(differences[key], holm=least)
    return corrected


def _count(methods: Sequence[Evaluated], score: str, n: int | None) -> int:
    counts = [[n for n in method.ns if method.has(n, score)] for method in methods]
    shared = sorted(set(counts[0]) & set(counts[1]))
    if not shared or (n is not None and n not in shared):
        has = " and ".join(f"{name} has it at {found or 'no n'}" for name, found in zip("ab", counts, strict=True))
        raise ValueError(f"n: got {n} for {score!r}; {has}; use an n that both have")
    return shared[-1] if n is None else n


def _common(images: Sequence[list[ImageNames]]) -> list[NDArray[np.int64]]:
    """The places, in either list, of the images that both have."""
    if images[0] == images[1]:
        return [np.arange(len(images[0]))] * 2
    places = [{(im.id, im.patient, im.name, im.slice): place for place, im in enumerate(part)} for part in images]
    keys = [key for key in places[0] if key in places[1]]
    return [np.array([found[key] for key in keys], np.int64) for found in places]
