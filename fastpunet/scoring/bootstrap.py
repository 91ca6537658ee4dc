"""Bootstrap intervals over patients. Slices of one patient are alike, so patients are resampled, not slices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]


class PatientBootstrap:
    """As many patients as there are, drawn with replacement, `draws` times (Efron 1979).

    patients: the patient of each image. The same seed draws the same patients. With a single patient all intervals are
    NaN, because nothing is known about other patients.
    """

    def __init__(self, patients: Sequence[str], draws: int = 2000, seed: int = 0) -> None:
        names, self._groups = np.unique(patients, return_inverse=True)
        self._count, self._draws, self._seed = len(names), draws, seed

    @cached_property
    def _drawn(self) -> NDArray[np.float64]:
        """The number of times that each patient is drawn, (draws, patients)."""
        if self._count == 1:
            return np.full((self._draws, 1), np.nan)
        shares = np.full(self._count, 1 / self._count)
        return np.random.default_rng(self._seed).multinomial(self._count, shares, self._draws).astype(float)

    def sums(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """Sums of a column (images, ...) over the images in each draw, float64 (draws, ...)."""
        by_patient = np.zeros((self._count, *column.shape[1:]))
        np.add.at(by_patient, self._groups, column.astype(float))
        return np.tensordot(self._drawn, by_patient, 1)

    def mean_interval(self, values: NDArray[np.float64], level: float = 0.95) -> Interval:
        """Interval of the mean of values (images,), without images that have NaN."""
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            return quantiles(self.sums(np.where(known, values, 0.0)) / self.sums(known), level)

    def correlation_interval(self, x: NDArray[np.float64], y: NDArray[np.float64], level: float = 0.95) -> Interval:
        """Interval of Pearson's correlation of x and y (images,), without images that have NaN in either.

        Draws of patients in which x or y is constant have no correlation, and do not count.
        """
        known = ~np.isnan(x + y)
        x, y = np.where(known, x, 0.0), np.where(known, y, 0.0)
        count, sx, sy, sxy, sxx, syy = self.sums(np.stack((known, x, y, x * y, x * x, y * y), 1)).T
        products = ((sxy, sx, sy), (sxx, sx, sx), (syy, sy, sy))
        with np.errstate(invalid="ignore", divide="ignore"):
            covariance, vx, vy = (a / count - b * c / count**2 for a, b, c in products)
            return quantiles(covariance / np.sqrt(vx * vy), level)


def quantiles(values: NDArray[np.float64], level: float) -> Interval:
    """The interval that leaves (1 - level) / 2 of the values outside on either side; NaN if all values are NaN."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
