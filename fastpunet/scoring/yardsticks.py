"""Yardsticks: hypotheses that need no model, with whose scores those of models are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fastpunet.data import Record, Records
from fastpunet.masks import PackedMasks
from fastpunet.metrics import Convention, energy_distance
from fastpunet.scoring.drawing import draw_from
from fastpunet.scoring.evaluate import convention_for, evaluate_source
from fastpunet.scoring.evaluation import Evaluation
from fastpunet.scoring.image_names import ImageNames
from fastpunet.scoring.mask_pool import MaskPool
from fastpunet.scoring.registry import ENERGY, WINNER
from fastpunet.scoring.sources import Source

ONE_GRADER = "one grader against the others"
LARGEST_N = 1000  # beyond it these scores change by less than a thousandth


def yardsticks(
    records: Records,
    num_classes: int,
    ns: Sequence[int],
    *,
    training: Records | None = None,
    seed: int = 0,
    convention: str | Convention | None = None,
    batch_size: int | None = None,
    device: torch.device | None = None,
) -> dict[str, Evaluation]:
    """Energy distances of hypotheses that need no model, by name.

    empty masks                    every hypothesis is background
    random training masks          hypotheses are masks of random images of `training`, whatever the image
    masks of other images          if `training` is None: masks of `records` themselves, from other patients
    one grader against the others  each grader's mask in turn is the only hypothesis, the other graders the references

    num_classes: the number of classes of the models in the same table, 1 or 2 for binary masks. Hypotheses are a
    function of the seed and the record's id. If no mask has the size of an image, masks of other sizes are resized.
    Only n up to 1000 are scored. A yardstick that the data set does not allow is left out: images with one grader each
    have no other graders, and a single patient has no other patients.
    """
    device = torch.device("cpu") if device is None else device
    rule = convention_for(convention, num_classes)
    counts = [n for n in ns if n <= LARGEST_N]
    sources: list[Source] = [EmptyMasks(num_classes, device)]
    pool = MaskPool(records if training is None else training, num_classes, device, seed, apart=training is not None)
    if all(pool.has_masks_for(record) for record in records):
        sources.append(pool)
    found = {
        source.name: evaluate_source(
            source, records, counts, convention=rule, batch_size=batch_size, names=(*ENERGY, WINNER), label=source.name
        )
        for source in (sources if counts else [])
    }
    found[ONE_GRADER] = _one_grader(records, num_classes, rule, batch_size, device)
    return {name: result for name, result in found.items() if not _is_unknown(result)}


class EmptyMasks:
    """Hypotheses without any foreground."""

    name = "empty masks"
    max_hypotheses: int | None = None

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.num_classes, self.device = num_classes, device

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        size = records[0].image.shape[1:]
        labels = torch.zeros((1, 1, *size), dtype=torch.uint8, device=self.device)
        one = PackedMasks.pack(labels, None if self.num_classes == 1 else self.num_classes)
        return PackedMasks(one.words.expand(len(records), n, -1, -1).contiguous(), one.size)


def _one_grader(
    records: Records, num_classes: int, rule: Convention, batch_size: int | None, device: torch.device
) -> Evaluation:
    """An evaluation at n = 1: the mean over graders of the distance between one grader and the others."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ENERGY}
    images: list[ImageNames] = []
    for drawn in draw_from(EmptyMasks(num_classes, device), records, 1, batch_size):
        known, graders = drawn.references, drawn.references.graders
        images += [ImageNames.of(record, known) for record in drawn.records]
        distances = []
        if known.masks is not None and graders > 1:
            for k in range(graders):
                others = [other for other in range(graders) if other != k]
                rest = known.masks[:, others]
                distances.append(energy_distance(known.masks[:, k : k + 1], rest, convention=rule, ignore=known.ignore))
        for name, column in columns.items():
            values = [getattr(distance, name).cpu().numpy() for distance in distances]
            column.append(np.mean(values, 0) if values else np.full(len(drawn.records), np.nan))
    scores = {name: np.concatenate(column) for name, column in columns.items()}
    return Evaluation({1: {**scores, WINNER: scores["value"]}}, images)


def _is_unknown(result: Evaluation) -> bool:
    return all(np.isnan(columns["value"]).all() for columns in result.scores.values())
