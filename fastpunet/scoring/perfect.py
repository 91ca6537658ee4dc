"""What a perfect model scores: one that draws hypotheses from the distribution that the graders' masks come from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastpunet.scoring.evaluation import Columns, Evaluation

PERFECT = "a perfect model"


def perfect_model(evaluation: Evaluation, ns: Sequence[int]) -> Evaluation:
    """The expected energy distances of a perfect model on the images of an evaluation, at each n.

    Let a be the mean distance of two different graders of an image, and m their number, which may differ between
    images. V includes the distance of 0 from each mask to itself, so its expectation is a (1 / n + 1 / m), or a / n if
    the exact distribution is known. U is 0, E d(S, Y) is a, and E d(S, S') is a (1 - 1 / n). Images with a single
    grader do not determine a: they are NaN.
    """
    graders = np.array([image.graders for image in evaluation.images], float)
    seen = next(iter(evaluation.scores.values()))["reference_diversity"]
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(graders == 0, seen, np.where(graders == 1, np.nan, seen * graders / (graders - 1)))
        of_graders = np.where(graders == 0, 0.0, 1 / graders)
    return Evaluation({n: _energies(a, of_graders, seen, n) for n in ns}, evaluation.images)


def _energies(a: NDArray[np.float64], of_graders: NDArray[np.float64], seen: NDArray[np.float64], n: int) -> Columns:
    value = a * (1 / n + of_graders)
    return {
        "value": value,
        "expected_value": value,
        "unbiased": np.where(n > 1, 0 * a, np.nan),
        "cross": a,
        "sample_diversity": a * (1 - 1 / n),
        "reference_diversity": np.where(np.isnan(a), np.nan, seen),
    }
