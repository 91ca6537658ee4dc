"""Score a model on a data set: energy distance and its components, with intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from fastpunet.data import Records
from fastpunet.metrics import Convention, EnergyDistance, energy_distance, presence, present_distance
from fastpunet.reports.figures import EnergyCurve
from fastpunet.sampling import Sampler

COMPONENTS = tuple(field.name for field in fields(EnergyDistance))
SCORES = (*COMPONENTS, "present_distance", "presence")


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one data set, one entry an image: scores[n][name] is float64 (images,).

    The names are those of `EnergyDistance`, and, of binary masks, present_distance and presence of the hypotheses;
    graders_presence (images,) is the graders'. See fastpunet.metrics.
    """

    scores: dict[int, dict[str, NDArray[np.float64]]]
    graders_presence: NDArray[np.float64]
    patients: list[str]

    def mean(self, n: int, component: str) -> float:
        """Mean over images; those for which the component is undefined (NaN) are left out."""
        values = self.scores[n][component]
        return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else float("nan")

    def interval(
        self, n: int, component: str, *, level: float = 0.95, draws: int = 2000, seed: int = 0
    ) -> tuple[float, float]:
        """Bootstrap interval of the mean: patients, not slices, are drawn with replacement."""
        values = self.scores[n][component]
        known = ~np.isnan(values)
        drawn = self._drawn_patients(draws, seed)
        sums, counts = (drawn @ self._by_patient(column) for column in (np.where(known, values, 0.0), known))
        return _quantiles(sums / counts, level)

    def presence_correlation(self, n: int) -> float:
        """Pearson's correlation, over images, of the shares of hypotheses and of graders that outline anything."""
        return float(np.corrcoef(self.scores[n]["presence"], self.graders_presence)[0, 1])

    def presence_correlation_interval(
        self, n: int, *, level: float = 0.95, draws: int = 2000, seed: int = 0
    ) -> tuple[float, float]:
        """Bootstrap interval of the correlation over patients."""
        x, y = self.scores[n]["presence"], self.graders_presence
        drawn = self._drawn_patients(draws, seed)
        count, sx, sy, sxy, sxx, syy = (
            drawn @ self._by_patient(column) for column in (np.ones_like(x), x, y, x * y, x * x, y * y)
        )
        covariance, vx, vy = (a / count - b * c / count**2 for a, b, c in ((sxy, sx, sy), (sxx, sx, sx), (syy, sy, sy)))
        return _quantiles(covariance / np.sqrt(vx * vy), level)

    def _drawn_patients(self, draws: int, seed: int) -> NDArray[np.float64]:
        """How often each patient is drawn, (draws, patients), patients drawn with replacement."""
        count = len(set(self.patients))
        return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), draws).astype(float)

    def _by_patient(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """Sums over each patient's images."""
        _, groups = np.unique(self.patients, return_inverse=True)
        return np.bincount(groups, column.astype(float)).astype(np.float64)

    def curve(self) -> EnergyCurve:
        """Energy distance (V) over n, with 95 % intervals."""
        ns = sorted(self.scores)
        low, high = zip(*(self.interval(n, "value") for n in ns), strict=True)
        return EnergyCurve(ns, [self.mean(n, "value") for n in ns], low, high)

    def perfect(self, graders: int) -> list[float]:
        """What a model that draws as graders do scores under V, which counts pairs i = j, over n: a (1/n + 1/graders),
        a the mean distance between two different graders."""
        ns = sorted(self.scores)
        different = self.mean(ns[0], "reference_diversity") * graders / (graders - 1)
        return [different * (1 / n + 1 / graders) for n in ns]

    def table(self) -> str:
        """Markdown: a row for each n, the V-statistic with its 95 % interval first."""
        heads = ["n", "GED^2 (V)", "95 % interval", "GED^2 (U)", "95 % interval", "E d(S,Y)", "E d(S,S')", "E d(Y,Y')"]
        heads += ["d, both present", "presence correlation", "95 % interval"]
        rows = [heads, ["---"] * len(heads)]
        for n in self.scores:
            means = [f"{self.mean(n, name):.3f}" for name in SCORES[:-1]]
            spans = [_span(self.interval(n, name)) for name in ("value", "unbiased")]
            correlation = f"{self.presence_correlation(n):.2f}", _span(self.presence_correlation_interval(n), 2)
            rows.append([str(n), means[0], spans[0], means[1], spans[1], *means[2:], *correlation])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows).replace("nan to nan", "-").replace("nan", "-")


def evaluate(
    model: nn.Module,
    records: Records,
    *,
    ns: Sequence[int] = (1, 4, 8, 16, 1000),
    seed: int = 0,
    convention: str | Convention = "kohl-lidc",
    precision: str = "auto",
) -> Evaluation:
    """Draw max(ns) hypotheses of every record and score the first n of them, for every n, against its masks.

    Masks are graders' annotations, or the exact distribution where a record has weights. Each record's id is its
    image's id, so that the result does not depend on the order. Shows progress on standard error.
    """
    if not len(records) or not ns or min(ns) < 1:
        raise ValueError(f"records, ns: got {len(records)} records and n = {list(ns)}, expected at least one, n >= 1")
    sampler = Sampler(model, precision=precision)
    rows: dict[int, list[list[float]]] = {n: [] for n in ns}
    patients, graders_presence = [], []
    for record in tqdm(records, desc="scoring", unit="image", leave=False, disable=None):
        image = torch.from_numpy(record.image)[None].to(sampler.device)
        references = torch.from_numpy(record.masks)[None].to(sampler.device)
        weights = None if record.weights is None else torch.from_numpy(record.weights).to(sampler.device)
        ids = torch.tensor([record.id])
        drawn = sampler.draw(sampler.encode(image), max(ns), seed=seed, ids=ids, output="bits")
        for n in ns:
            score = energy_distance(drawn[:, :n], references, convention=convention, weights=weights)
            values = [getattr(score, component) for component in COMPONENTS]
            if drawn.num_planes == 1:
                values += [present_distance(drawn[:, :n], references), presence(drawn[:, :n])]
            else:
                values += [float("nan")] * 2
            rows[n].append([float(value) for value in values])
        patients.append(record.patient or str(record.id))
        graders_presence.append(np.average(record.masks.any((1, 2)), weights=record.weights))
    scores = {n: dict(zip(SCORES, np.array(values).T, strict=True)) for n, values in rows.items()}
    return Evaluation(scores, np.array(graders_presence), patients)


def _quantiles(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _span(interval: tuple[float, float], digits: int = 3) -> str:
    return " to ".join(f"{end:.{digits}f}" for end in interval)
