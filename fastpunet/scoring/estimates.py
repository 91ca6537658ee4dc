"""Combines the scores of single images into a score of the data set, with an interval over patients and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpunet.scoring.jackknife import Spread, pseudo_values, spread

LEVEL = 0.95
Array = NDArray[np.float64]


class Estimate(NamedTuple):
    """A score over a data set and the ends of its 95 % interval, NaN if undefined, and the images that it rests on.

    images and patients: those for which the score is defined. Of several checkpoints that differ in this, the fewest.
    """

    value: float
    low: float
    high: float
    images: int = 0
    patients: int = 0


@dataclass(frozen=True)
class Statistic:
    """A score of a data set that is a function of sums over its images, such as a mean or a correlation.

    sums_of      the summands (images, k) of values (images, ...); rows of images without a value do not matter
    combine      the score (...) of sums (..., k)
    interval     whether its interval covers the truth as often as it says. If not, none is given
    correlation  whether the score lies between -1 and 1. Its interval is then computed on Fisher's z = artanh(score)

    >>> float(mean(np.array([1.0, np.nan, 2.0])))
    1.5
    """

    sums_of: Callable[[Array], Array]
    combine: Callable[[Array], Array]
    interval: bool = True
    correlation: bool = False

    def __call__(self, values: NDArray[Any]) -> float:
        """The score of values (images, ...), of which images with NaN do not count; NaN if it is undefined."""
        return float(self.of_sums(self.sums(values).sum(0)))

    def sums(self, values: NDArray[Any]) -> Array:
        """The summands (images, k), which are 0 for images without a value."""
        values = np.asarray(values, float)
        return np.where(known(values)[:, None], self.sums_of(values), 0.0)

    def of_sums(self, sums: Array) -> Array:
        """The score (...) of sums (..., k); NaN if it is undefined."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.combine(sums))

    def bounds(self, value: float, spread: Spread) -> tuple[float, float]:
        """The interval around the score, by Student's t; NaN if the score has none."""
        if not self.interval:
            return float("nan"), float("nan")
        half = spread.quantile(LEVEL) * np.sqrt(spread.variance)
        if not self.correlation:
            return float(value - half), float(value + half)
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = np.tanh(np.arctanh(value) + np.array((-half, half)) / (1 - value**2))
        return float(low), float(high)


def known(values: Array) -> NDArray[np.bool_]:
    """The images whose values (images, ...) have no NaN, bool (images,)."""
    return np.asarray(~np.isnan(values).any(tuple(range(1, values.ndim))))


def estimate(tables: Sequence[Array], patients: Sequence[str], statistic: Statistic) -> Estimate:
    """The mean over checkpoints of the score of each, with its 95 % interval.

    tables: the values (images, ...) that each checkpoint has; patients: the patient of each image. See
    `fastpunet.scoring.jackknife` for the interval: it is that of another set of patients and, with two checkpoints or
    more, of other training seeds. With a single patient there is none.
    """
    defined = np.stack([known(table) for table in tables])
    used = defined.any(0)
    if not used.any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    groups = np.unique(np.asarray(patients)[used], return_inverse=True)[1]
    sums = np.stack([statistic.sums(table[used]) for table in tables])
    value = float(statistic.of_sums(sums.sum(1)).mean())
    interval = statistic.bounds(value, spread([pseudo_values(sums, groups, statistic.of_sums)]))
    fewest = min(defined, key=np.sum)
    return Estimate(value, *interval, int(fewest.sum()), len(np.unique(np.asarray(patients)[fewest])))


def _correlation_sums(pairs: Array) -> Array:
    """Count, x, y, x y, x^2, y^2 of pairs (images, 2), each column from its mean, lest large means cost digits."""
    middle = np.nanmean(pairs, 0) if (~np.isnan(pairs)).any() else 0.0
    x, y = (pairs - middle).T
    return np.stack((np.ones_like(x), x, y, x * y, x * x, y * y), 1)


def _correlation(sums: Array) -> Array:
    count, sx, sy, sxy, sxx, syy = np.moveaxis(sums, -1, 0)
    products = ((sxy, sx, sy), (sxx, sx, sx), (syy, sy, sy))
    covariance, vx, vy = (a / count - b * c / count**2 for a, b, c in products)
    tiny = 1e-12 * np.maximum(sxx, syy) / count  # of a constant column, rounding alone is left
    constant = (vx <= tiny) | (vy <= tiny)
    return np.where(constant, np.nan, covariance / np.sqrt(vx * vy))


def _calibration(sums: Array) -> Array:
    """The error of flattened tables (..., 3 bins), computed like `Reliability.error`."""
    count, predicted, observed = np.split(sums, 3, axis=-1)
    return np.asarray(np.abs(predicted - observed).sum(-1) / count.sum(-1))


def _debiased_sums(tables: Array) -> Array:
    """Count and gap of each bin, and their squares, (images, 4 bins)."""
    count, predicted, observed = np.moveaxis(tables, 1, 0)
    gap = predicted - observed
    return np.concatenate((count, gap, count**2, gap**2), 1)


def _debiased_calibration(sums: Array) -> Array:
    """As `metrics.debiased_squared_error`, each image a group."""
    count, gap, squared_counts, squared_gaps = np.split(sums, 4, axis=-1)
    pairs = count**2 - squared_counts
    square = np.where(pairs > 0, (gap**2 - squared_gaps) / pairs, 0.0)
    return np.asarray((count * square).sum(-1) / count.sum(-1))


mean = Statistic(lambda values: np.stack((np.ones_like(values), values), 1), lambda sums: sums[..., 1] / sums[..., 0])
correlation = Statistic(_correlation_sums, _correlation, correlation=True)  # Pearson's, of pairs (images, 2)
# The squared calibration error of all predictions together, without its bias, of tables (images, 3, bins) of halves.
# No interval: its coverage has not been measured.
debiased_calibration = Statistic(_debiased_sums, _debiased_calibration, interval=False)
# The expected calibration error of all predictions together, of tables (images, 3, bins). No interval: absolute values
# are biased upwards, so that an interval around a small error seldom covers it.
calibration_error = Statistic(lambda tables: tables.reshape(len(tables), -1), _calibration, interval=False)
