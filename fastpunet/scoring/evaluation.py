"""The scores of one model, or of several training seeds of a method, on one data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastpunet.scoring.estimates import Estimate, estimate
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

    @property
    def checkpoints(self) -> tuple[Evaluation, ...]:
        """This evaluation, so that one checkpoint is used like several."""
        return (self,)

    @property
    def ns(self) -> list[int]:
        return list(self.scores)

    @property
    def patients(self) -> list[str]:
        return [image.patient for image in self.images]

    def has(self, n: int, name: str) -> bool:
        """Whether the score of this name exists for n hypotheses."""
        return name in self.scores.get(n, {})

    def estimate(self, n: int, name: str) -> Estimate:
        """The score over all images for which it is defined, with its 95 % interval over patients."""
        return estimate([self.scores[n][name]], self.patients, SCORES[name].overall)


@dataclass(frozen=True)
class MethodEvaluation:
    """Scores of several checkpoints of one method, such as those of several training seeds, on the same images.

    A score is the mean of the checkpoints' scores: errors of one seed do not cancel those of another. Its interval is
    that of other patients and other seeds. Raises ValueError for no checkpoint, and for checkpoints of other images.
    """

    checkpoints: tuple[Evaluation, ...]

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise ValueError("checkpoints: got none, expected at least one evaluation; score a checkpoint first")
        for place, part in enumerate(self.checkpoints):
            if part.images != self.images:
                raise ValueError(
                    f"checkpoints: evaluation {place} is of other images than the first, or has them in another order; "
                    "score all checkpoints on the same records"
                )

    @property
    def images(self) -> list[ImageNames]:
        return self.checkpoints[0].images

    @property
    def ns(self) -> list[int]:
        """The numbers of hypotheses at which all checkpoints are scored."""
        return [n for n in self.checkpoints[0].ns if all(n in part.scores for part in self.checkpoints)]

    @property
    def patients(self) -> list[str]:
        return self.checkpoints[0].patients

    def has(self, n: int, name: str) -> bool:
        """Whether all checkpoints have the score of this name for n hypotheses."""
        return all(part.has(n, name) for part in self.checkpoints)

    def estimate(self, n: int, name: str) -> Estimate:
        """The mean over checkpoints of their scores, with its 95 % interval over patients and seeds."""
        return estimate([part.scores[n][name] for part in self.checkpoints], self.patients, SCORES[name].overall)


Evaluated = Evaluation | MethodEvaluation


def of_method(parts: Evaluated | Sequence[Evaluation]) -> MethodEvaluation:
    """One evaluation, or those of several checkpoints of a method, as those of a method."""
    if isinstance(parts, Evaluation | MethodEvaluation):
        return MethodEvaluation(parts.checkpoints)
    return MethodEvaluation(tuple(parts))
