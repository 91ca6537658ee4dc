"""Scores the hypotheses of a data set, drawn by a model or a yardstick, by every score in the registry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fastpunet import metrics
from fastpunet.arguments import check_count
from fastpunet.data import Records
from fastpunet.metrics import Convention
from fastpunet.progress import Progress
from fastpunet.scoring.cost import check_cost
from fastpunet.scoring.drawing import draw_from, seconds_now
from fastpunet.scoring.evaluation import Evaluation
from fastpunet.scoring.image_names import ImageNames
from fastpunet.scoring.registry import SCORES
from fastpunet.scoring.scored_batch import ScoredBatch
from fastpunet.scoring.sources import ModelSource, Source


def evaluate(
    model: nn.Module,
    records: Records,
    *,
    ns: Sequence[int] = (1, 4, 8, 16, 1000),
    seed: int = 0,
    convention: str | Convention | None = None,
    precision: str = "auto",
    batch_size: int | None = None,
    label: str = "scoring",
) -> Evaluation:
    """Draw max(ns) hypotheses of every record and score the first n of them, for every n, against its masks.

    Args:
        model: any model that `fastpunet.sample` takes, on the device to be used. A method with few hypotheses, such as
            M-Heads, is scored only at those n that it can draw.
        records: records with graders' masks or, if they have weights, with the exact distribution. Pixels that any
            grader labelled 255 do not count. Hypotheses are also drawn of records without a mask, and those have no
            scores that need one.
        ns: the numbers of hypotheses.
        seed, precision: see `fastpunet.sample`. Each record's id is its image's id, so that the result does not
            depend on the order of records.
        convention: how distances are computed: the name of a preset or a `metrics.Convention` of the model's classes;
            None for `metrics.default_convention`.
        batch_size: the largest number of images at a time; there are fewer if memory requires it.
        label: the name that progress on standard error shows.

    Raises ValueError, naming the argument, for no records, an n that the model does not have, images with other
    channels than the model takes, masks with classes that it does not have, and hypotheses that memory cannot hold.

    >>> import fastpunet
    >>> from fastpunet.data.lesions import SyntheticLesions
    >>> scores = evaluate(fastpunet.load("lesions"), SyntheticLesions(8, seed=1), ns=(4, 16))
    >>> scores.estimate(4, "value").value > scores.estimate(16, "value").value > 0
    True
    """
    source = ModelSource(model, seed=seed, precision=precision)
    return evaluate_source(source, records, ns, convention=convention, batch_size=batch_size, label=label)


def evaluate_source(
    source: Source,
    records: Records,
    ns: Sequence[int],
    *,
    convention: str | Convention | None = None,
    batch_size: int | None = None,
    names: Sequence[str] = tuple(SCORES),
    label: str = "scoring",
) -> Evaluation:
    """Like `evaluate`, for any source of hypotheses. names: the scores to compute."""
    counts = _counts(source, ns)
    if batch_size is not None:
        check_count("batch_size", batch_size)
    if not len(records):
        raise ValueError("records: got none, expected at least one image; read another file")
    rule = convention_for(convention, source.num_classes)
    check_cost(max(counts), records[0], source.num_classes, len(records), source.device)
    rows: dict[int, list[dict[str, Any]]] = {n: [] for n in counts}
    images: list[ImageNames] = []
    seconds = {"drawing": 0.0, "scoring": 0.0}
    with Progress(len(records), label, "image") as progress:
        for drawn in draw_from(source, records, max(counts), batch_size):
            start = seconds_now(source.device)
            everything = ScoredBatch(drawn.samples, drawn.references, rule)
            for n in counts:
                rows[n].append(score_batch(everything, n, source.num_classes, names))
            images += [ImageNames.of(record, drawn.references) for record in drawn.records]
            seconds["drawing"] += drawn.seconds
            seconds["scoring"] += seconds_now(source.device) - start
            progress.update(len(drawn.records))
    return Evaluation({n: join(parts) for n, parts in rows.items()}, images, seconds)


def convention_for(choice: str | Convention | None, num_classes: int) -> Convention:
    """The convention by which distances between masks of `num_classes` (1: binary) are computed; None: the default.

    Raises ValueError for a convention that is unknown or has another number of classes.

    >>> convention_for("phiseg", 4).averaged
    (1, 2, 3)
    """
    classes = max(2, num_classes)
    if choice is None:
        return metrics.default_convention(classes)
    rule = choice if isinstance(choice, Convention) else metrics.convention(choice, num_classes=classes)
    if rule.num_classes != classes:
        raise ValueError(
            f"convention: got {rule.name!r} of {rule.num_classes} classes, but the model has {classes}; name a "
            f"convention for {classes} classes"
        )
    return rule


def _counts(source: Source, ns: Sequence[int]) -> list[int]:
    """Those of the numbers of hypotheses that the source can draw, ascending."""
    wanted = sorted({check_count("ns", n) for n in ns})
    most = math.inf if source.max_hypotheses is None else source.max_hypotheses
    counts = [n for n in wanted if n <= most]
    if not counts:
        raise ValueError(
            f"ns: got {list(ns)}, expected at least one number"
            + (f" up to {most}: {source.name} has no more hypotheses of an image" if wanted else "; such as 16")
        )
    return counts


def score_batch(
    everything: ScoredBatch, n: int, num_classes: int, names: Sequence[str]
) -> dict[str, NDArray[np.float64] | int]:
    """The values of each score for the first n hypotheses of these images, or the number of images if these lack what
    the score needs. everything: the batch of all hypotheses that were drawn of them."""
    images, most = everything.samples.shape[:2]
    batch = everything
    if n < most:
        batch = ScoredBatch(everything.samples[:, :n], everything.references, everything.convention, everything)
    scores = (SCORES[name] for name in names)
    found = {score.name: score.of(batch) for score in scores if score.applies(num_classes, n)}
    return {name: images if values is None else values for name, values in found.items()}


def join(parts: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """One array for each score with the values of all images, NaN for images that lack what the score needs."""
    return {name: _filled([part[name] for part in parts]) for name in parts[0]}


def _filled(parts: Sequence[NDArray[np.float64] | int]) -> NDArray[np.float64]:
    shape = next((part.shape[1:] for part in parts if not isinstance(part, int)), ())
    return np.concatenate([np.full((part, *shape), np.nan) if isinstance(part, int) else part for part in parts])
