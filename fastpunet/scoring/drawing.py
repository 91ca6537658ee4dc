"""Draws the hypotheses of a data set for evaluation, for validation while training, for pictures and for the demo."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from fastpunet.data import Record, Records
from fastpunet.masks import PackedMasks
from fastpunet.scoring.batches import batches
from fastpunet.scoring.references import References
from fastpunet.scoring.sources import ModelSource, Source, available


@dataclass(frozen=True, eq=False)
class Drawn:
    """A batch of records with their hypotheses.

    records     B records whose arrays have the same shapes
    samples     PackedMasks (B, n, *size)
    references  the graders' masks or the exact distribution, on the same device
    seconds     how long the drawing took
    """

    records: list[Record]
    samples: PackedMasks
    references: References
    seconds: float


def draw_records(
    model: nn.Module,
    records: Records,
    n: int,
    *,
    seed: int = 0,
    precision: str = "auto",
    batch_size: int | None = None,
    fewer: bool = False,
) -> Iterator[Drawn]:
    """Draw n hypotheses of every record, in batches and in the records' order.

    model: any model that `fastpunet.sample` takes; images are moved to its device. seed, precision: see there. Each
    record's id is its image's id, so that the result does not depend on the order or the batches. batch_size: the
    largest number of images at a time; there are fewer if memory requires it. fewer: if the model has fewer than n
    hypotheses, draw all that it has instead of raising an error.

    Raises ValueError, naming the record, for an image with other channels than the model takes and for masks with a
    class that the model does not have.
    """
    source = ModelSource(model, seed=seed, precision=precision)
    return draw_from(source, records, available(source, n) if fewer else n, batch_size)


def draw_from(source: Source, records: Records, n: int, batch_size: int | None = None) -> Iterator[Drawn]:
    """Like `draw_records`, for any source of hypotheses."""
    for batch in batches(records, n, source.device.type, batch_size):
        references = References.of(batch, source.num_classes, source.device)
        start = seconds_now(source.device)
        samples = source.draw(batch, n)
        yield Drawn(batch, samples, references, seconds_now(source.device) - start)


def seconds_now(device: torch.device) -> float:
    """The time in seconds, read after the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
