"""Combines the scores of single images into a score of the data set, with an interval over patients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpunet.scoring.bootstrap import PatientBootstrap, quantiles

LEVEL = 0.95


class Estimate(NamedTuple):
    """A score over a data set and the ends of its 95 % interval; NaN if undefined."""

    value: float
    low: float
    high: float


def mean(values: NDArray[np.float64], patients: PatientBootstrap) -> Estimate:
    """The mean of values (images,), without images that have NaN."""
    known = values[~np.isnan(values)]
    return Estimate(float(known.mean()) if len(known) else float("nan"), *patients.mean_interval(values, LEVEL))


def correlation(pairs: NDArray[np.float64], patients: PatientBootstrap) -> Estimate:
    """Pearson's correlation of the two columns of pairs (images, 2), without images that have NaN."""
    known = ~np.isnan(pairs).any(1)
    x, y = pairs[known].T
    value = float(np.corrcoef(x, y)[0, 1]) if known.any() and x.std() > 0 < y.std() else float("nan")
    return Estimate(value, *patients.correlation_interval(pairs[:, 0], pairs[:, 1], LEVEL))


def calibration_error(tables: NDArray[np.float64], patients: PatientBootstrap) -> Estimate:
    """The expected calibration error of all predictions together, from tables (images, 3, bins)."""
    known = np.nan_to_num(tables)
    return Estimate(float(_error(known.sum(0))), *quantiles(_error(patients.sums(known)), LEVEL))


def _error(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """The error of tables (..., 3, bins), computed like `Reliability.error`; NaN if there is no prediction."""
    count, predicted, observed = np.moveaxis(tables, -2, 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(predicted - observed).sum(-1) / count.sum(-1))
