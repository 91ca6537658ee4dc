"""Compares models, given as stored checkpoints, on randomly flipped classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from fastpunet.data.streets import find_streets
from fastpunet.devices import find_device
from fastpunet.models import checkpoint
from fastpunet.reports.checkpoints import find_checkpoints
from fastpunet.reports.flips_table import flips_table
from fastpunet.reports.records import DataSet
from fastpunet.scoring.class_flips import evaluate_flips
from fastpunet.scoring.flip_evaluation import FlipsEvaluation


@dataclass(frozen=True)
class FlipsComparison:
    """The evaluation of each checkpoint (results), and the names of the data set's classes (names)."""

    results: dict[str, FlipsEvaluation]
    names: dict[int, str]

    def tables(self) -> str:
        """The tables as Markdown, with a section for each checkpoint."""
        return "\n\n".join(f"## {model}\n\n{flips_table(result, self.names)}" for model, result in self.results.items())


def compare_flips(
    models: Sequence[str],
    data: str | os.PathLike[str],
    *,
    kind: str | None = None,
    n: int = 100,
    seed: int = 0,
    precision: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    intensity: str | None = None,
) -> FlipsComparison:
    """Evaluate how n hypotheses of every image flip five classes of CamVid or Cityscapes.

    models, data, kind, seed, precision, device, batch_size, intensity: see `fastpunet.reports.comparison.compare`.
    Raises ValueError, naming the argument, for other data sets and for models of other classes.
    """
    chosen = find_device(device)
    data_set = DataSet(data, kind, intensity=intensity)
    streets = find_streets(data_set.kind)
    results = {}
    for parts in find_checkpoints(models).values():
        for name, path in parts.items():
            model = checkpoint.load(path).to(chosen)
            results[name] = evaluate_flips(
                model,
                data_set.records_for(model),
                streets.flips,
                len(streets.classes),
                n=n,
                seed=seed,
                precision=precision,
                batch_size=batch_size,
            )
    return FlipsComparison(results, dict(enumerate(streets.classes)))
