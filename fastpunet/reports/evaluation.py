"""Score a model on a data set: energy distance and its components, with intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from fastpunet.data import Records
from fastpunet.metrics import Convention, EnergyDistance, energy_distance
from fastpunet.sampling import Sampler

COMPONENTS = tuple(field.name for field in fields(EnergyDistance))


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one data set, one entry an image: scores[n][component] is float64 (images,)."""

    scores: dict[int, dict[str, NDArray[np.float64]]]
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
        _, groups = np.unique(self.patients, return_inverse=True)
        known = ~np.isnan(values)
        sums = np.bincount(groups, np.where(known, values, 0.0))
        counts = np.bincount(groups, known.astype(float))
        drawn = np.random.default_rng(seed).integers(len(sums), size=(draws, len(sums)))
        means = sums[drawn].sum(1) / counts[drawn].sum(1)
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def table(self) -> str:
        """Markdown: a row for each n, the V-statistic with its 95 % interval first."""
        lines = [
            "| n | GED^2 (V) | 95 % interval | GED^2 (U) | E d(S,Y) | E d(S,S') | E d(Y,Y') |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for n in self.scores:
            low, high = self.interval(n, "value")
            value, *others = (f"{self.mean(n, component):.3f}" for component in COMPONENTS)
            lines.append(f"| {n} | {value} | {low:.3f} to {high:.3f} | {' | '.join(others)} |")
        return "\n".join(lines).replace("nan", "-")


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
    patients = []
    for record in tqdm(records, desc="scoring", unit="image", leave=False, disable=None):
        image = torch.from_numpy(record.image)[None].to(sampler.device)
        references = torch.from_numpy(record.masks)[None].to(sampler.device)
        weights = None if record.weights is None else torch.from_numpy(record.weights).to(sampler.device)
        ids = torch.tensor([record.id])
        drawn = sampler.draw(sampler.encode(image), max(ns), seed=seed, ids=ids, output="bits")
        for n in ns:
            score = energy_distance(drawn[:, :n], references, convention=convention, weights=weights)
            rows[n].append([float(getattr(score, component)) for component in COMPONENTS])
        patients.append(record.patient or str(record.id))
    scores = {n: dict(zip(COMPONENTS, np.array(values).T, strict=True)) for n, values in rows.items()}
    return Evaluation(scores, patients)
