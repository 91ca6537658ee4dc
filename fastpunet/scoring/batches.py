"""Groups records into batches whose hypotheses are drawn and scored together."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fastpunet.data import Record, Records

_BYTES = {"cpu": 1 << 24, "cuda": 1 << 28}  # of a batch's hypotheses and masks as labels, one byte a pixel
_IMAGES = 32


def batches(records: Records, n: int, device_type: str, batch_size: int | None = None) -> Iterator[list[Record]]:
    """Yield consecutive records whose arrays have the same shapes, at most `batch_size` (default 32) at a time.

    n is the number of hypotheses of each record. Whatever the batch size, the hypotheses and masks of a batch take no
    more than a fixed number of bytes, unless those of a single record do.
    """
    batch: list[Record] = []
    for record in records:
        bytes_each = (n + len(record.masks)) * math.prod(record.image.shape[1:])
        limit = min(batch_size or _IMAGES, max(1, _BYTES.get(device_type, _BYTES["cpu"]) // bytes_each))
        if batch and (len(batch) >= limit or _frame(record) != _frame(batch[0])):
            yield batch
            batch = []
        batch.append(record)
    if batch:
        yield batch


def _frame(record: Record) -> tuple[object, ...]:
    return record.image.shape, record.masks.shape, record.weights is None
