"""Fits the scaling of a model to images that it was not trained on, by proper scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fastpunet.data import Records
from fastpunet.metrics import Probabilities, pixel_nll
from fastpunet.models import Method
from fastpunet.models.method import Encoding
from fastpunet.models.scaling import Scaling, has_prior_scale, scaled
from fastpunet.sampler import Sampler
from fastpunet.scoring.batches import batches
from fastpunet.scoring.evaluate import evaluate_source
from fastpunet.scoring.references import References
from fastpunet.scoring.sources import ModelSource, available

_STEPS = {"prior_scale": math.log(1.3), "shift": 0.5, "temperature": math.log(1.5)}  # the first, of logs but of shift
_HALVINGS = 3  # the last step is an eighth of the first
_LIMIT = 8  # steps of the first size that a parameter may move from its start


def fit_masks(model: Method, records: Records, *, n: int, seed: int) -> Scaling:
    """The scale of the prior and the shift of the logits that suit these records best, with the same noise throughout.

    They have the lowest energy score, 2 E d(S, Y) - E d(S, S') over different hypotheses, which is proper for the
    distribution of the masks (Gneiting and Raftery 2007, section 4.3). What the method lacks stays as it is.
    """
    free = [name for name, can in (("prior_scale", has_prior_scale(model)), ("shift", model.num_classes == 1)) if can]

    def at(moves: Sequence[float]) -> Scaling:
        values = dict(zip(free, moves, strict=True))
        return Scaling(prior_scale=math.exp(values.get("prior_scale", 0.0)), shift=values.get("shift", 0.0))

    def score(moves: Sequence[float]) -> float:
        return energy_score(scaled(model, at(moves)), records, n=n, seed=seed)

    return at(pattern_search(score, [_STEPS[name] for name in free]))


def fit_temperature(model: Method, records: Records, *, n: int, seed: int) -> Scaling:
    """The temperature with the lowest log score of the mean probability of pixels.

    The mean of few hypotheses is improved by any blur, so n should be large.
    """

    def score(moves: Sequence[float]) -> float:
        return pixel_log_score(scaled(model, Scaling(temperature=math.exp(moves[0]))), records, n=n, seed=seed)

    return Scaling(temperature=math.exp(pattern_search(score, [_STEPS["temperature"]])[0]))


def energy_score(model: Method, records: Records, *, n: int, seed: int) -> float:
    """The mean of 2 E d(S, Y) - E d(S, S') over the records; it differs from the energy distance (U) by a constant."""
    source = ModelSource(model, seed=seed)
    count = available(source, n)
    columns = evaluate_source(source, records, [count], names=("cross", "sample_diversity"), label="fitting").scores[
        count
    ]
    diversity = columns["sample_diversity"] * count / max(1, count - 1)
    return float(np.nanmean(2 * columns["cross"] - diversity))


@torch.no_grad()
def pixel_log_score(model: Method, records: Records, *, n: int, seed: int) -> float:
    """The mean -log of the mean probability of a grader's class over pixels, graders and records, in nats."""
    sampler = Sampler(model)
    count = n if sampler.max_hypotheses is None else min(n, sampler.max_hypotheses)
    scores: list[float] = []
    for batch in batches(records, count, model.device.type, None):
        references = References.of(batch, model.num_classes, model.device)
        if references.masks is None:
            continue
        images = torch.from_numpy(np.stack([record.image for record in batch])).to(model.device)
        ids = torch.tensor([record.id for record in batch])
        means = [_mean(sampler, encoding, its, count, seed) for encoding, its in sampler.encode_groups(images, ids)]
        scores += pixel_nll(
            Probabilities(torch.cat(means)[:, None]),
            references.masks,
            num_classes=None if model.num_classes == 1 else model.num_classes,
            weights=references.weights,
            ignore=references.ignore,
        ).tolist()
    return float(np.nanmean(scores))


def _mean(sampler: Sampler, encoding: Encoding, ids: Tensor, n: int, seed: int) -> Tensor:
    """The mean probability of n hypotheses of encoded images, float32 (B, K, *size)."""
    sums = [part.probability for part in sampler.stream_sums(encoding, n, seed=seed, ids=ids)]
    return (torch.stack(sums).sum(0) / n).float().unflatten(-1, encoding.size).clamp(0, 1)


def pattern_search(function: Callable[[Sequence[float]], float], steps: Sequence[float]) -> list[float]:
    """Parameters at which a function is lowest, from 0 on: along each axis the step that lowers it, halved when none
    does (Hooke and Jeeves 1961).

    >>> [round(x, 3) for x in pattern_search(lambda x: (x[0] - 1) ** 2 + (x[1] + 0.5) ** 2, [0.5, 0.5])]
    [1.0, -0.5]
    """
    place, sizes = [0.0] * len(steps), list(steps)
    best = function(place) if steps else 0.0
    for _ in range(_HALVINGS + 1 if steps else 0):
        moved = True
        while moved:
            moved = False
            for axis, size in enumerate(sizes):
                for step in (size, -size):
                    there = [*place[:axis], place[axis] + step, *place[axis + 1 :]]
                    if abs(there[axis]) <= _LIMIT * steps[axis] and (value := function(there)) < best:
                        place, best, moved = there, value, True
                        break
        sizes = [size / 2 for size in sizes]
    return place
