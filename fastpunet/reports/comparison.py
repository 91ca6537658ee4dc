"""Compares methods, given as stored checkpoints, on one data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fastpunet.arguments import check_choice
from fastpunet.data import Records
from fastpunet.devices import find_device
from fastpunet.metrics import Convention
from fastpunet.reports.checkpoints import find_checkpoints, introduction
from fastpunet.reports.contenders import Contenders
from fastpunet.reports.records import DataSet
from fastpunet.reports.sample_grid import Picture, draw_pictures
from fastpunet.scoring.calibration_floor import calibration_floor
from fastpunet.scoring.evaluate import convention_for, evaluate_source
from fastpunet.scoring.evaluation import Evaluated, Evaluation, MethodEvaluation
from fastpunet.scoring.perfect import PERFECT, perfect_model
from fastpunet.scoring.registry import SCORES
from fastpunet.scoring.seen_images import seen_images
from fastpunet.scoring.yardsticks import LARGEST_N, yardsticks

_DRAWS = 5


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
    against: str | None = None  # the method that all others are tested against; None: the best of each score
    tested: Sequence[str] = ()  # the scores by which methods are tested; the tables have no tests without them
    seen: Mapping[str, str] = field(default_factory=dict)  # of checkpoints trained on some of the images: on which
    perfect: Evaluated | None = None  # see fastpunet.scoring.perfect; None if the distribution of masks is unknown

    @cached_property
    def pooled(self) -> dict[str, MethodEvaluation]:
        """The evaluation of every method, the mean over its checkpoints."""
        return {name: MethodEvaluation(tuple(parts.values())) for name, parts in self.evaluations.items()}

    @property
    def any_evaluation(self) -> Evaluation:
        """One of the evaluations, for what they have in common (the images, their names and their graders)."""
        return next(iter(next(iter(self.evaluations.values())).values()))

    @property
    def shared_n(self) -> int:
        """The largest number of hypotheses at which all methods are scored."""
        return max(n for n in self.ns if all(n in evaluation.ns for evaluation in self.pooled.values()))

    @property
    def floors(self) -> dict[str, Evaluated]:
        """The perfect model, by its name; empty if it is unknown."""
        return {} if self.perfect is None else {PERFECT: self.perfect}

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
    num_classes: int = 1,
    against: str | None = None,
    tested: Sequence[str] = (),
) -> Comparison:
    """Score models on a data set, together with yardsticks that need no model.

    Args:
        models: names of shipped weights, checkpoints, folders of a training run, or folders of checkpoints. In the
            last, NAME-seed0.safetensors, NAME-seed1.safetensors, ... belong to one method, and README.md introduces
            the report. NAME=PATH is a checkpoint, or hypotheses that were stored (see `scoring.stored.open_stored`).
        data, kind: see `fastpunet.data.sources.read`. Without a kind, the data set is recognised by its content.
        ns, seed, convention, precision, batch_size: see `fastpunet.scoring.evaluate.evaluate`.
        device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU if there is one.
        training: the data that the models were trained on, of the same kind. Their masks become a yardstick; without
            `training`, masks of other images of `data` are used.
        unmarked: whether slices of volumes in which nobody marked anything are scored too, so that false alarms count.
        intensity: which grey values of the data become 0 and 1, such as "range:0:4095"; without it, as each model's
            training had it.
        num_classes: of stored hypotheses, 1 or 2 for binary masks.
        tested: names of the scores by which methods are tested against each other: against the method of the name
            `against`, or without it against the best of each score.

    Raises ValueError, naming the argument, for anything that does not fit.
    """
    chosen = find_device(device)
    found = find_checkpoints(models)
    _check_tests(list(found), against, tested)
    data_set = DataSet(data, kind, unmarked=unmarked, intensity=intensity)

    contenders = Contenders(data_set, chosen, seed=seed, precision=precision, num_classes=num_classes)

    seen: dict[str, str] = {}

    def score(name: str, path: str) -> Evaluation:
        one = contenders.open(path)
        if some := seen_images(one.training_images, one.records):
            seen[name] = some
        return evaluate_source(one.source, one.records, ns, convention=rule, batch_size=batch_size, label=name)

    firsts = {name: next(iter(parts.values())) for name, parts in found.items()}
    first = contenders.open(next(iter(firsts.values())))
    classes, whole = first.source.num_classes, first.records[0].image.ndim == 4
    rule = convention_for(convention, classes)
    counts = sorted(set(ns))
    evaluations = {name: {part: score(part, source) for part, source in parts.items()} for name, parts in found.items()}
    scored = next(iter(next(iter(evaluations.values())).values()))
    alike: dict[str, Any] = dict(batch_size=batch_size, device=chosen)
    return Comparison(
        data=Path(data).name,
        ns=counts,
        seed=seed,
        convention=rule.name,
        evaluations=evaluations,
        pictures=draw_pictures(firsts, contenders),
        introduction=introduction(models),
        against=against,
        tested=tested,
        seen=seen,
        yardsticks=yardsticks(
            first.records,
            classes,
            counts,
            training=None
            if training is None
            else DataSet(training, kind, intensity=intensity).records_in(classes, whole=whole),
            seed=seed,
            convention=rule,
            **alike,
        ),
        perfect=_perfect(scored, counts, first.records, classes, rule, seed, alike),
    )


def _check_tests(methods: Sequence[str], against: str | None, tested: Sequence[str]) -> None:
    if tested and len(methods) < 2:
        raise ValueError(f"compare: got {methods[0]} alone, expected at least two methods; name more models")
    if against is not None:
        check_choice("compare", against, methods)
    for score in tested:
        check_choice("scores", score, [name for name in SCORES if SCORES[name].better])


def _perfect(
    scored: Evaluation,
    ns: Sequence[int],
    records: Records,
    num_classes: int,
    rule: Convention,
    seed: int,
    options: dict[str, Any],
) -> Evaluated | None:
    """What a perfect model scores, with several draws of its calibration errors, which are random; None if unknown."""
    energies = perfect_model(scored, ns)
    if all(np.isnan(columns["value"]).all() for columns in energies.scores.values()):
        return None
    few = [n for n in ns if n <= LARGEST_N]
    draws = []
    for k in range(_DRAWS if few else 0):
        floor = calibration_floor(records, num_classes, few, rule, seed=seed + k, **options)
        scores = {n: {**columns, **floor.scores.get(n, {})} for n, columns in energies.scores.items()}
        draws.append(Evaluation(scores, scored.images))
    return MethodEvaluation(tuple(draws)) if draws else energies
