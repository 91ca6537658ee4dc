"""How often a model flips each class of a data set, and all classes together, beside the exact distribution."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fastpunet.arguments import check_choice
from fastpunet.data.flips import modes
from fastpunet.metrics import total_variation, total_variation_of_draws
from fastpunet.metrics.flip_counts import AMONG
from fastpunet.scoring.estimates import Statistic, estimate
from fastpunet.scoring.image_names import ImageNames


class Estimates(NamedTuple):
    """Means of columns and the ends of their 95 % intervals, float64 (columns,) each; NaN if undefined."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class Score(NamedTuple):
    """A mean over images, the ends of its 95 % interval, and the expected value for a perfect sampler."""

    mean: float
    low: float
    high: float
    perfect: float


@dataclass(frozen=True)
class FlipsEvaluation:
    """n hypotheses of each image against the exact distribution of its flips. Arrays have a row for each image.

    probabilities      maps each class to the probability with which it is flipped; all columns have its order
    present            bool (images, k), whether the image has the class
    frequencies        float64 (images, k), share of the hypotheses that flip the class, without the undecided ones
    undecided          float64 (images, k), share of the hypotheses that flip as many of the class's pixels as they keep
    kept, flipped      int64 (images, k), the class's pixels labelled with it and with its twin, over all hypotheses
    pixels             int64 (images, k), all pixels of the class, over all hypotheses
    modes              float64 (images, 2^k), share of hypotheses in each mode, in the order of data.flips.modes
    total_variation    float64 (images,), between these shares and the exact probabilities
    perfect_variation  float64 (images,), its expected value for n draws from the exact distribution
    energy             maps the fields of fastpunet.metrics.EnergyDistance to float64 (images,)
    images             where each row comes from

    Undefined values, such as those of a class that the image lacks, are NaN. See fastpunet.metrics.FlipCounts and
    flip_mode_frequencies. Intervals treat images as patients. Frames of one video are alike, so the intervals are
    too narrow for other videos.
    """

    probabilities: dict[int, float]
    n: int
    present: NDArray[np.bool_]
    frequencies: NDArray[np.float64]
    undecided: NDArray[np.float64]
    kept: NDArray[np.int64]
    flipped: NDArray[np.int64]
    pixels: NDArray[np.int64]
    modes: NDArray[np.float64]
    total_variation: NDArray[np.float64]
    perfect_variation: NDArray[np.float64]
    energy: dict[str, NDArray[np.float64]]
    images: list[ImageNames] = field(default_factory=list)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """The images that have all k classes, bool (images,)."""
        return np.asarray(self.present.all(1))

    def image_frequencies(self) -> Estimates:
        """How often each class is flipped, (k,): the mean of `frequencies`, with equal weights for images."""
        return column_means(self.frequencies)

    def pixel_frequencies(self, among: str = "either") -> Estimates:
        """How often the pixels of each class are flipped, (k,): over the pixels of all hypotheses and images.

        among: "either", the pixels labelled with the class or its twin, or "all" pixels of the class, as the authors'
        evaluation has it; see `FlipCounts.pixel_frequencies`.
        """
        check_choice("among", among, AMONG)
        total = self.pixels if among == "all" else self.kept + self.flipped
        return _ratios(self.flipped.astype(float), total.astype(float))

    def mode_frequencies(self) -> Estimates:
        """The share of hypotheses in each mode, (2^k,): the mean over the complete images."""
        return column_means(np.where(self.complete[:, None], self.modes, np.nan))

    def pooled_variation(self) -> tuple[float, float]:
        """The total variation between `mode_frequencies` and the exact probabilities, and its expected value for a
        perfect sampler. NaN if no image is complete."""
        draws = self.n * int(self.complete.sum())
        if not draws:
            return float("nan"), float("nan")
        exact = torch.from_numpy(modes(self.probabilities)[1])
        found = total_variation(torch.from_numpy(self.mode_frequencies().mean), exact)
        return float(found), float(total_variation_of_draws(exact, draws))

    def scores(self) -> dict[str, Score]:
        """The means of total_variation and the fields of EnergyDistance over the images for which each is defined."""
        columns = {"total_variation": self.total_variation, **self.energy}
        found = dict(zip(columns, np.stack(column_means(np.stack([*columns.values()], 1)), 1).tolist(), strict=True))
        spread = found["reference_diversity"][0]
        perfect = {
            "total_variation": float(column_means(self.perfect_variation[:, None]).mean[0]),
            "value": spread / self.n,
            "unbiased": 0.0,
            "cross": spread,
            "sample_diversity": spread * (1 - 1 / self.n),
            "reference_diversity": spread,
        }
        return {name: Score(row[0], row[1], row[2], perfect[name]) for name, row in found.items()}


def column_means(values: NDArray[np.float64]) -> Estimates:
    """The mean of each column of values (images, columns), over the images for which it is known."""
    known = ~np.isnan(values)
    return _ratios(np.where(known, values, 0.0), known.astype(float))


def _ratios(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> Estimates:
    """The ratio of the sums over images, for each column of two arrays (images, columns)."""
    images = [str(i) for i in range(len(numerators))]
    pairs = np.stack((numerators, np.where(denominators > 0, denominators, np.nan)), 2)
    found = [estimate([pairs[:, k]], images, _RATIO)[:3] for k in range(pairs.shape[1])]
    return Estimates(*np.array(found, float).reshape(-1, 3).T)


_RATIO = Statistic(lambda pairs: pairs, lambda sums: sums[..., 0] / sums[..., 1])
