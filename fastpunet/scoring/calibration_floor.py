"""The calibration errors that remain if hypotheses are drawn as graders draw: the floor for all models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpunet.data import Record, Records
from fastpunet.masks import PackedMasks
from fastpunet.metrics import Convention
from fastpunet.scoring.drawing import draw_from
from fastpunet.scoring.evaluate import join, score_batch
from fastpunet.scoring.evaluation import Evaluation
from fastpunet.scoring.image_names import ImageNames
from fastpunet.scoring.references import References
from fastpunet.scoring.registry import SCORES
from fastpunet.scoring.scored_batch import ScoredBatch
from fastpunet.scoring.yardsticks import EmptyMasks

CALIBRATION = tuple(name for name, score in SCORES.items() if not score.overall.interval)
_NOBODY = References(None, None, None)


def calibration_floor(
    records: Records,
    num_classes: int,
    ns: Sequence[int],
    rule: Convention,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    device: torch.device | None = None,
) -> Evaluation:
    """The calibration of a model that draws as graders do, at each n. It is not 0: n hypotheses and m graders are few.

    Hypotheses are drawn with replacement from the image's graders, and so are as many graders anew, with which the
    hypotheses are compared. If the exact distribution is known, hypotheses are drawn from it and compared with it.
    Images with fewer than two graders have no floor. m graders agree more often than all that could have been asked, so
    that this floor is a little low where m is small. Hypotheses are a function of the seed and the record's id.
    """
    source = _GraderDraws(num_classes, torch.device("cpu") if device is None else device, seed)
    rows: dict[int, list[dict[str, Any]]] = {n: [] for n in ns}
    images: list[ImageNames] = []
    for drawn in draw_from(source, records, max(ns), batch_size):
        images += [ImageNames.of(record, drawn.references) for record in drawn.records]
        batch = ScoredBatch(drawn.samples, source.redrawn(drawn.records, drawn.references), rule)
        for n in ns:
            rows[n].append(score_batch(batch, n, num_classes, CALIBRATION))
    return Evaluation({n: join(parts) for n, parts in rows.items()}, images)


class _GraderDraws:
    """Hypotheses drawn, with replacement, from the masks of the very image."""

    name = "draws of graders"
    max_hypotheses: int | None = None

    def __init__(self, num_classes: int, device: torch.device, seed: int) -> None:
        self.num_classes, self.device, self._seed = num_classes, device, seed

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        masks = References.of(records, self.num_classes, self.device).masks
        if masks is None:
            return EmptyMasks(self.num_classes, self.device).draw(records, n)
        return self._chosen(masks, records, n, 0)

    def redrawn(self, records: Sequence[Record], references: References) -> References:
        """Graders drawn anew; the exact distribution as it is; nobody if there are fewer than two graders."""
        if references.weights is not None:
            return references
        if references.masks is None or references.graders < 2:
            return _NOBODY
        return replace(references, masks=self._chosen(references.masks, records, references.graders, 1))

    def _chosen(self, masks: PackedMasks, records: Sequence[Record], n: int, stream: int) -> PackedMasks:
        places = np.stack([self._places(record, n, stream) for record in records])
        images = torch.arange(len(records), device=self.device)[:, None]
        return PackedMasks(masks.words[images, torch.from_numpy(places).to(self.device)], masks.size)

    def _places(self, record: Record, n: int, stream: int) -> NDArray[np.int64]:
        shares = None if record.weights is None else record.weights / record.weights.sum(dtype=float)
        return np.random.default_rng([self._seed, record.id, stream]).choice(len(record.masks), n, p=shares)
