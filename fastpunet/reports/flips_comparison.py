"""Compares models, given as stored checkpoints, on randomly flipped classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastpunet.data.streets import find_streets
from fastpunet.devices import find_device
from fastpunet.models import checkpoint
from fastpunet.reports.checkpoints import find_checkpoints
from fastpunet.reports.differences import seen_sentence
from fastpunet.reports.flips_table import flips_table
from fastpunet.reports.records import DataSet
from fastpunet.scoring.class_flips import evaluate_flips
from fastpunet.scoring.flip_evaluation import FlipsEvaluation
from fastpunet.scoring.seen_images import seen_images


@dataclass(frozen=True)
class FlipsComparison:
    """The evaluation of each checkpoint, the names of the data set's classes, and which images checkpoints have seen.

    seen: of checkpoints that were trained on some of the images, see `scoring.seen_images`.
    """

    results: dict[str, FlipsEvaluation]
    names: dict[int, str]
    seen: dict[str, str] = field(default_factory=dict)

    def tables(self) -> str:
        """The tables as Markdown, with a section for each checkpoint."""
        sections = [f"## {model}\n\n{flips_table(result, self.names)}" for model, result in self.results.items()]
        return "\n\n".join([*sections, *(f"- {seen_sentence(model, some)}" for model, some in self.seen.items())])


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
    results, seen = {}, {}
    for parts in find_checkpoints(models).values():
        for name, path in parts.items():
            model = checkpoint.load(path).to(chosen)
            records = data_set.records_for(model)
            if some := seen_images(model.training_images, records):
                seen[name] = some
            results[name] = evaluate_flips(
                model,
                records,
                streets.flips,
                len(streets.classes),
                n=n,
                seed=seed,
                precision=precision,
                batch_size=batch_size,
            )
    return FlipsComparison(results, dict(enumerate(streets.classes)), seen)
