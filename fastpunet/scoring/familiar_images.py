"""Measures the familiarity that is kept with a model: the statistics of images, and how far apart patients' are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fastpunet.data import Records
from fastpunet.models.familiarity import LIMIT, Familiarity
from fastpunet.models.image_statistics import image_statistics

_FOLDS = 10
_RIDGE = 1e-3  # added to the variances, each of which is 1
_DIGITS = 7


def measure_familiarity(records: Records, data: str, *, seed: int = 0) -> Familiarity | None:
    """What usual images are, from records that a model was not trained on; None for fewer than 99, or one patient.

    data: the records in words. seed: of the ten folds of patients, each of which is measured by a Gaussian that was
    fitted to the others. Below 99 images nothing can be said about the farthest one in a hundred.
    """
    if len(records) < LIMIT:
        return None
    described, patients = [], []
    for record in records:
        described.append(image_statistics(torch.as_tensor(record.image)[None])[0])
        patients.append(record.patient or f"image {record.id}")
    return fit_familiarity(torch.stack(described), patients, data, seed) if len(set(patients)) > 1 else None


def fit_familiarity(statistics: Tensor, patients: Sequence[str], data: str, seed: int) -> Familiarity:
    """`measure_familiarity` for at least 99 images of these statistics, float64 (n, d), of two patients or more."""
    names, whose = np.unique(np.array(patients), return_inverse=True)
    folds = torch.from_numpy(np.random.default_rng(seed).permutation(len(names))[whose] % _FOLDS)
    distances = torch.empty(len(statistics), dtype=torch.float64)
    for fold in folds.unique():
        mean, whitening = _fit(statistics[folds != fold])
        distances[folds == fold] = ((statistics[folds == fold] - mean) @ whitening.T).norm(dim=1)
    ranked = distances.sort().values
    ranks = [-(-percent * (len(ranked) + 1) // 100) for percent in range(1, LIMIT + 1)]
    mean, whitening = _fit(statistics)
    return Familiarity(
        data=data,
        images=len(ranked),
        patients=len(names),
        mean=_rounded(mean),
        whitening=tuple(_rounded(row[: place + 1]) for place, row in enumerate(whitening)),
        quantiles=_rounded(ranked[[rank - 1 for rank in ranks]]),
    )


def _fit(statistics: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and whitening matrix (d, d), lower triangular, of a Gaussian fitted to statistics (n, d).

    The ridge bounds what statistics that hardly vary, or hardly vary by themselves, can add to a distance.
    """
    mean, scale = statistics.mean(0), statistics.std(0).clamp(min=1e-6)
    standard = (statistics - mean) / scale
    covariance = standard.T @ standard / (len(standard) - 1)
    covariance.diagonal().add_(_RIDGE)
    identity = torch.eye(len(mean), dtype=torch.float64)
    return mean, torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), identity, upper=False) / scale


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values.tolist())
