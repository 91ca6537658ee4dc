"""How uncertain a score is: patients are one level, the seeds of training another.

Slices of one patient are alike, so the patients count, not the slices. Each checkpoint s is scored without one patient
p after the other, which gives the pseudo-values P t_s - (P - 1) t_s(-p) (the jackknife, Tukey 1958; Efron and Stein
1981). Of a mean over as many images of every patient these are the patients' means. Checkpoints and patients are
crossed: every checkpoint is scored on the same patients. With pseudo-values x_sp = t + seed_s + patient_p + rest_sp,
the variance of their mean over S seeds and P patients is

    var_p(mean over s of x_sp) / P  +  max(0, var_s(mean over p of x_sp) / S - var(rest) / (S P))

where the first part contains the rest already, which the second therefore gives back. Intervals and tests use Student's
t with P - 1 degrees of freedom for a single checkpoint, and otherwise with Satterthwaite's (1946). For the difference
of two methods the first part is of the differences of each patient, and both methods have a second part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpunet.optional import require

Array = NDArray[np.float64]


class Spread(NamedTuple):
    """The variance of an estimate, and the degrees of freedom of that variance; NaN if a single patient is known."""

    variance: float
    freedom: float

    def quantile(self, level: float) -> float:
        """The number of standard errors on either side of the estimate that an interval of this level takes."""
        return float(_special().stdtrit(self.freedom, (1 + level) / 2))

    def p_value(self, value: float) -> float:
        """The two-sided p of an estimate whose expectation is 0; 1 for an estimate of 0 without any variance."""
        if self.variance == 0:
            return 1.0 if value == 0 else 0.0
        return float(2 * _special().stdtr(self.freedom, -abs(value) / np.sqrt(self.variance)))


def _special() -> Any:
    return require("scipy.special", "an interval", "report")


def patient_sums(sums: Array, groups: NDArray[Any]) -> Array:
    """Summands (..., images, k) added up by patient, (..., patients, k). groups: the patient's index of each image."""
    belongs = np.arange(int(groups.max(initial=-1)) + 1)[:, None] == groups
    return np.asarray(belongs.astype(float) @ sums)


def pseudo_values(sums: Array, groups: NDArray[Any], combine: Callable[[Array], Array]) -> Array:
    """The jackknife's pseudo-values (S, P) of summands (S, images, k), combined by a `Statistic.of_sums`."""
    parts = patient_sums(sums, groups)
    total, count = parts.sum(1), parts.shape[1]
    return count * combine(total)[:, None] - (count - 1) * combine(total[:, None] - parts)


def spread(tables: Sequence[Array]) -> Spread:
    """The variance of the mean of one table of pseudo-values (S, P), or of the difference of the means of two.

    Two tables have the same patients, and may have different numbers of seeds.
    """
    patients = tables[0].shape[1]
    if patients < 2:
        return Spread(float("nan"), float("nan"))
    rows = [table.mean(0) for table in tables]
    of_patients = float(np.var(rows[0] - sum(rows[1:]), ddof=1)) / patients
    parts = [(of_patients, patients - 1)] + [(_of_seeds(table), len(table) - 1) for table in tables if len(table) > 1]
    variance = sum(part for part, _ in parts)
    uncertain = sum(part**2 / freedom for part, freedom in parts)
    return Spread(variance, variance**2 / uncertain if uncertain else patients - 1)


def _of_seeds(table: Array) -> float:
    """The second part: what seeds add to the variance."""
    seeds, patients = table.shape
    of_means, of_patients = table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    rest = ((table - of_means - of_patients + table.mean()) ** 2).sum() / ((seeds - 1) * (patients - 1))
    return max(0.0, float(of_means.var(ddof=1) / seeds - rest / (seeds * patients)))
