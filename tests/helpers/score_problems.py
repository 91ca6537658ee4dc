"""Every score on random and degenerate problems, against loops in NumPy: `python -m helpers.score_problems 5000`.

One to six samples and one to four references of a few pixels, many of them empty, full or all of one class, in two or
three classes, with and without weights. Each problem is a function of its index alone; `python -m
helpers.score_problems 1 INDEX` repeats it. The exit status is 1 if any score is wrong.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from fastpunet.metrics import Convention
from helpers.label_maps import random_labels
from helpers.scores import SCORES

RULES = [
    Convention("empty one"),
    Convention("empty zero", empty=0.0),
    Convention("empty nan", 3, empty=math.nan),
    Convention("strict", 3, (1,), math.nan, strict=True),
    Convention("dice", 3, overlap="dice"),
    Convention("dice, nan", 2, empty=math.nan, overlap="dice"),
    Convention("monai", 3, empty=math.nan, false_alarm=math.nan),
    Convention("monai, dice", 2, empty=math.nan, false_alarm=math.nan, overlap="dice"),
]


class Problem(NamedTuple):
    samples: Any  # labels (n, *size)
    references: Any  # labels (m, *size)
    rule: Convention
    weights: Any  # (m,) or None
    sample_weights: Any  # (n,) or None


def random_problem(index: int) -> Problem:
    rng = np.random.default_rng(index)
    rule = RULES[index % len(RULES)]
    size = [(1, 1), (2, 3), (1, 5), (2, 2, 2)][rng.integers(4)]
    n, m = rng.integers(1, 7), rng.integers(1, 5)
    samples, references = (random_labels(rng, (k, *size), rule.num_classes, len(size)) for k in (n, m))
    if index % 7 == 0:
        samples[:] = rng.integers(rule.num_classes)
    if index % 11 == 0:
        references[:] = rng.integers(rule.num_classes)
    weights = rng.dirichlet(np.ones(m)) if index % 3 == 0 else None
    sample_weights = rng.dirichlet(np.ones(n)) if index % 5 == 0 else None
    return Problem(samples, references, rule, weights, sample_weights)


def wrong(problem: Problem) -> list[str]:
    """The scores that differ from those of the loops."""
    samples, references, rule, weights, _ = problem
    rule = Convention(rule.name, rule.num_classes)
    pair = torch.from_numpy(samples)[None], torch.from_numpy(references)[None]
    found = []
    for name, score in SCORES.items():
        if score.binary and rule.num_classes > 2:
            continue
        options = {} if weights is None or not score.takes_weights else {"weights": torch.from_numpy(weights)}
        got = np.ravel(score.call(*pair, rule, ignore=None, **options).numpy())
        wanted = np.ravel(score.loop(samples, references, rule, weights if options else None, None))
        if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=0, atol=1e-6, equal_nan=True):
            found.append(f"{name}: {got} instead of {wanted}")
    return found


def check(problems: int, first: int = 0, report: Callable[[str], object] = print) -> int:
    """The number of scores that are wrong."""
    bad = 0
    for index in range(first, first + problems):
        for text in wrong(random_problem(index)):
            report(f"problem {index}, {text}")
            bad += 1
    return bad


if __name__ == "__main__":
    bad = check(*map(int, sys.argv[1:]))
    print(f"{bad} scores wrong")
    sys.exit(bad > 0)
