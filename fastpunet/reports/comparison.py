"""Compares methods, given as stored checkpoints, on one data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fastpunet.devices import find_device
from fastpunet.metrics import Convention
from fastpunet.models import Method, checkpoint
from fastpunet.reports.checkpoints import find_checkpoints, introduction
from fastpunet.reports.records import DataSet
from fastpunet.reports.sample_grid import Picture, draw_pictures
from fastpunet.scoring.evaluate import convention_for, evaluate
from fastpunet.scoring.evaluation import Evaluation
from fastpunet.scoring.yardsticks import yardsticks


@dataclass(frozen=True)
class Comparison:
    """The settings of a comparison and its evaluations, by method and then by checkpoint (one for each seed)."""

    data: str
    ns: list[int]
    seed: int
    convention: str
    evaluations: dict[str, dict[str, Evaluation]]
    pictures: list[Picture]
    introduction: str  # the README of the folder that holds the checkpoints
    yardsticks: dict[str, Evaluation] = field(default_factory=dict)  # see fastpunet.scoring.yardsticks

    @cached_property
    def pooled(self) -> dict[str, Evaluation]:
        """The evaluation of every method over all its checkpoints."""
        return {name: Evaluation.pooled(list(parts.values())) for name, parts in self.evaluations.items()}

    @property
    def any_evaluation(self) -> Evaluation:
        """One of the evaluations, for all that they have in common: the images, their names and their graders."""
        return next(iter(next(iter(self.evaluations.values())).values()))

    @property
    def shared_n(self) -> int:
        """The largest number of hypotheses at which all methods are scored."""
        return max(n for n in self.ns if all(n in evaluation.scores for evaluation in self.pooled.values()))

    @property
    def perfect(self) -> dict[int, float]:
        """The score V of a model that draws from the graders' distribution, at each n; empty if it is unknown."""
        values = {n: self.any_evaluation.perfect(n) for n in self.ns}
        return {n: value for n, value in values.items() if not np.isnan(value)}

    @property
    def unannotated(self) -> int:
        """The number of images that nobody annotated. They have only scores that need no graders."""
        column = next(iter(self.any_evaluation.scores.values()))["reference_diversity"]
        alone = [image.graders == 0 for image in self.any_evaluation.images]
        return int((np.isnan(column) & alone).sum())


def compare(
    models: Sequence[str],
    data: str | os.PathLike[str],
    *,
    kind: str | None = None,
    ns: Sequence[int] = (1, 4, 8, 16, 1000),
    seed: int = 0,
    convention: str | Convention | None = None,
    precision: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    training: str | os.PathLike[str] | None = None,
    unmarked: bool = False,
    intensity: str | None = None,
) -> Comparison:
    """Score models on a data set, together with yardsticks that need no model.

    Args:
        models: names of shipped weights, checkpoints, folders of a training run, or folders of checkpoints. In the
            last, NAME-seed0.safetensors, NAME-seed1.safetensors, ... belong to one method, and README.md introduces
            the report.
        data, kind: see `fastpunet.data.sources.read`. Without a kind, the data set is recognised by its content.
        ns, seed, convention, precision, batch_size: see `fastpunet.scoring.evaluate.evaluate`.
        device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU if there is one.
        training: the data that the models were trained on, of the same kind. Their masks become a yardstick; without
            `training`, masks of other images of `data` are used.
        unmarked: whether slices of volumes in which nobody marked anything are scored too, so that false alarms count.
        intensity: which grey values of the data become 0 and 1, such as "range:0:4095"; without it, as each model's
            training had it.

    Raises ValueError, naming the argument, for anything that does not fit.
    """
    chosen = find_device(device)
    found = find_checkpoints(models)
    data_set = DataSet(data, kind, unmarked=unmarked, intensity=intensity)

    def load(source: str) -> Method:
        return checkpoint.load(source).to(chosen)

    def score(name: str, source: str) -> Evaluation:
        model = load(source)
        records = data_set.records_for(model)
        options: dict[str, Any] = dict(seed=seed, convention=rule, precision=precision, batch_size=batch_size)
        return evaluate(model, records, ns=ns, label=name, **options)

    firsts = {name: next(iter(parts.values())) for name, parts in found.items()}
    first = load(next(iter(firsts.values())))
    rule = convention_for(convention, first.num_classes)
    counts = sorted(set(ns))
    return Comparison(
        data=Path(data).name,
        ns=counts,
        seed=seed,
        convention=rule.name,
        evaluations={
            name: {part: score(part, source) for part, source in parts.items()} for name, parts in found.items()
        },
        pictures=draw_pictures(firsts, data_set.records_for, seed, load),
        introduction=introduction(models),
        yardsticks=yardsticks(
            data_set.records_for(first),
            first.num_classes,
            counts,
            training=None if training is None else DataSet(training, kind, intensity=intensity).records_for(first),
            seed=seed,
            convention=rule,
            batch_size=batch_size,
            device=chosen,
        ),
    )
