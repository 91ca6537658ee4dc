"""The scores of one model on one data set: a value for each score, number of hypotheses and image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastpunet.scoring.bootstrap import PatientBootstrap
from fastpunet.scoring.estimates import Estimate, mean
from fastpunet.scoring.image_names import ImageNames
from fastpunet.scoring.registry import SCORES

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one data set.

    scores   scores[n][name]: float64 (images, ...) of `registry.SCORES[name]` for n hypotheses, NaN where undefined
    images   the images, in the same order
    seconds  "drawing" and "scoring" of the whole data set
    """

    scores: dict[int, Columns]
    images: list[ImageNames]
    seconds: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def pooled(parts: Sequence[Evaluation]) -> Evaluation:
        """Join the evaluations of several models, such as those of several seeds. Means are over all models and images,
        and intervals are still over patients."""
        scores = {
            n: {name: np.concatenate([part.scores[n][name] for part in parts]) for name in columns}
            for n, columns in parts[0].scores.items()
        }
        seconds = {name: sum(part.seconds[name] for part in parts) for name in parts[0].seconds}
        return Evaluation(scores, [image for part in parts for image in part.images], seconds)

    @property
    def patients(self) -> list[str]:
        return [image.patient for image in self.images]

    def has(self, n: int, name: str) -> bool:
        """Whether the score of this name exists for n hypotheses."""
        return name in self.scores.get(n, {})

    def estimate(self, n: int, name: str) -> Estimate:
        """The score over all images for which it is defined, with its 95 % interval over patients."""
        return SCORES[name].overall(self.scores[n][name], self._bootstrap)

    def perfect(self, n: int) -> float:
        """The mean energy distance (V), with n hypotheses, of a model that draws from the graders' distribution.

        V includes the distance of 0 from each mask to itself. Its expected value for an image is a (1 / n + 1 / m),
        where a is the mean distance of two different graders and m the number of graders, or a / n if the exact
        distribution is known. Images with a single grader do not determine a, and are left out; NaN without others.
        """
        graders = np.array([image.graders for image in self.images], float)
        spread = next(iter(self.scores.values()))["reference_diversity"]
        with np.errstate(divide="ignore", invalid="ignore"):
            of_graders = spread * graders / (graders - 1) * (1 / n + 1 / graders)
        values = np.where(graders == 0, spread / n, np.where(graders == 1, np.nan, of_graders))
        return mean(values, self._bootstrap).value

    @cached_property
    def _bootstrap(self) -> PatientBootstrap:
        return PatientBootstrap(self.patients)
