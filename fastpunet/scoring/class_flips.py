"""Scores a model on randomly flipped classes, whose exact distribution is known (Kohl et al. 2018, section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fastpunet.arguments import check_count
from fastpunet.data import Records
from fastpunet.data.flips import ClassFlips, distinct_modes, modes
from fastpunet.metrics import (
    Convention,
    convention,
    energy_distance,
    flip_counts,
    flip_mode_frequencies,
    total_variation,
    total_variation_of_draws,
)
from fastpunet.progress import Progress
from fastpunet.scoring.drawing import Drawn, draw_from
from fastpunet.scoring.flip_evaluation import FlipsEvaluation
from fastpunet.scoring.image_names import ImageNames
from fastpunet.scoring.registry import ENERGY
from fastpunet.scoring.sources import ModelSource, Source, available


def evaluate_flips(
    model: nn.Module,
    records: Records,
    probabilities: Mapping[int, float],
    first_new: int,
    *,
    n: int = 100,
    seed: int = 0,
    precision: str = "auto",
    batch_size: int | None = None,
) -> FlipsEvaluation:
    """Draw n hypotheses of every record and score how they flip classes.

    Args:
        model: any model that `fastpunet.sample` takes. If it has fewer than n hypotheses, all of them are drawn.
        records: records with their single, unflipped label map.
        probabilities, first_new: see `fastpunet.data.flips.ClassFlips`.
        seed, precision, batch_size: see `evaluate`. Each record's id is its image's id, so that the result does not
            depend on the order of records.

    Energy distances follow the convention "kohl-cityscapes" for these classes and their twins, the new classes that
    they flip to. Pixels labelled IGNORE do not count. Progress is shown on standard error. Raises ValueError for no
    records, for a model whose number of classes is not first_new + len(probabilities), and the errors of ClassFlips
    and `evaluate`.
    """
    source = ModelSource(model, seed=seed, precision=precision)
    return evaluate_flips_of(source, records, probabilities, first_new, n, batch_size)


def evaluate_flips_of(
    source: Source,
    records: Records,
    probabilities: Mapping[int, float],
    first_new: int,
    n: int,
    batch_size: int | None = None,
) -> FlipsEvaluation:
    """Like `evaluate_flips`, for any source of hypotheses."""
    check_count("n", n)
    if not len(records):
        raise ValueError("records: got none, expected at least one image; read another file")
    classes = first_new + len(probabilities)
    if source.num_classes != classes:
        raise ValueError(
            f"model: got {source.num_classes} classes, expected {classes}: {first_new} and {len(probabilities)} twins; "
            "give a model trained on flipped classes"
        )
    n = available(source, n)
    twins = dict(zip(probabilities, range(first_new, classes), strict=True))
    rule = convention("kohl-cityscapes", num_classes=classes, classes=[*twins, *twins.values()])
    rows, images = [], []
    with Progress(len(records), "scoring", "image") as progress:
        for drawn in draw_from(source, ClassFlips(records, probabilities, first_new), n, batch_size):
            rows += [_score(drawn, place, probabilities, twins, rule) for place in range(len(drawn.records))]
            images += [ImageNames.of(record, drawn.references) for record in drawn.records]
            progress.update(len(drawn.records))
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    energy = {name: columns.pop(name) for name in ENERGY}
    return FlipsEvaluation(dict(probabilities), n, **columns, energy=energy, images=images)


def _score(
    drawn: Drawn, place: int, probabilities: Mapping[int, float], twins: Mapping[int, int], rule: Convention
) -> dict[str, NDArray[Any]]:
    """One image's row of each array. Its masks are the 2^k modes, of which the first is the unflipped label map."""
    samples, known = drawn.samples[place : place + 1], drawn.references
    labels = torch.from_numpy(drawn.records[place].masks[:1]).to(samples.words.device)
    assert known.masks is not None
    counts = flip_counts(samples, labels, twins)
    shares = flip_mode_frequencies(counts, list(probabilities.values()))[0]
    exact = modes(probabilities)[1]
    places, weights = (torch.from_numpy(part) for part in distinct_modes(exact, counts.present[0].cpu().numpy()))
    device = labels.device
    energy = energy_distance(
        samples,
        known.masks[place : place + 1][:, places.to(device)],
        convention=rule,
        weights=weights.to(device),
        ignore=None if known.ignore is None else known.ignore[place : place + 1],
    )
    row: dict[str, Tensor] = {
        "present": counts.present[0],
        "frequencies": counts.frequencies[0],
        "undecided": counts.undecided[0],
        "kept": counts.kept[0].sum(0),
        "flipped": counts.flipped[0].sum(0),
        "pixels": counts.pixels[0] * samples.shape[1],
        "modes": shares,
        **{name: getattr(energy, name)[0] for name in ENERGY},
        "total_variation": total_variation(shares.cpu(), torch.from_numpy(exact)),
        "perfect_variation": total_variation_of_draws(weights, samples.shape[1]),
    }
    return {name: value.cpu().numpy() for name, value in row.items()}
