"""Which methods differ: every method against one, the best method of a score, and all methods against yardsticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from fastpunet.scoring.comparing import Difference, compare, holm, share_images
from fastpunet.scoring.evaluation import Evaluated
from fastpunet.scoring.registry import SCORES, WINNER


class Pair(NamedTuple):
    """A comparison: the score of a method minus that of the method or yardstick that it is compared with."""

    score: str
    method: str
    against: str


def against_one(
    methods: Mapping[str, Evaluated], scores: Iterable[str], n: int, named: str | None = None
) -> dict[Pair, Difference]:
    """Every method against the named one, for each score; None: against the best of that score.

    All comparisons are corrected together (Holm). A score that a method lacks at this n, or of which neither high nor
    low values are good, is not compared; nor are methods without an image in common.
    """
    found = {}
    for score in scores:
        one = best(methods, score, n) if named is None else named
        if one is None:
            continue
        for name, method in methods.items():
            both = method.has(n, score) and methods[one].has(n, score) and share_images(method, methods[one])
            if name != one and both:
                found[Pair(score, name, one)] = compare(method, methods[one], score, n)
    return holm(found)


def best(methods: Mapping[str, Evaluated], score: str, n: int) -> str | None:
    """The method with the best value of a score, by chance or not; None if no method has it, or none is good."""
    direction = SCORES[score].better
    values = {
        name: direction * method.estimate(n, score).value for name, method in methods.items() if method.has(n, score)
    }
    known = {name: value for name, value in values.items() if not np.isnan(value)}
    return max(known, key=lambda name: known[name]) if known and direction else None


def winner(methods: Mapping[str, Evaluated], score: str, n: int) -> str | None:
    """The best method of a score if it is significantly better than every other that has the score, after Holm's
    correction for these comparisons; else None."""
    found = against_one(methods, [score], n)
    return best(methods, score, n) if found and all(_is_worse(difference) for difference in found.values()) else None


def against_yardsticks(
    methods: Mapping[str, Evaluated], yardsticks: Mapping[str, Evaluated], n: int
) -> dict[Pair, Difference]:
    """The energy distance of every method against every yardstick, at n or, where the yardstick lacks it, at the
    largest n that both have; corrected together (Holm)."""
    found = {}
    for name, method in methods.items():
        for title, yardstick in yardsticks.items():
            shared = [count for count in yardstick.ns if yardstick.has(count, WINNER) and method.has(count, WINNER)]
            if shared and share_images(method, yardstick):
                found[Pair(WINNER, name, title)] = compare(method, yardstick, WINNER, n if n in shared else max(shared))
    return holm(found)


def _is_worse(difference: Difference) -> bool:
    return difference.holds and not difference.a_is_better
