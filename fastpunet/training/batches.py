"""Training batches as a pure function of (seed, step), so that a resumed run sees what an uninterrupted one would."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from fastpunet.data import Record, Records


class Batch(NamedTuple):
    images: Tensor  # float32 (B, C, H, W)
    labels: Tensor  # uint8 (B, H, W), one random grader an image
    ids: Tensor  # int64 (B,), position in the whole run: step * B + i


class Batches(IterableDataset[Batch]):
    """The batches of steps first_step .. steps - 1, in order; `batches[step]` is any one of them.

    Every record is seen once before any is seen again. Augmentation: a random flip and quarter turn, image and mask
    together. The grader is drawn anew each time, uniformly or by the record's weights.
    """

    def __init__(self, records: Records, batch_size: int, seed: int, steps: int, first_step: int = 0) -> None:
        self._records, self._batch_size, self._seed = records, batch_size, seed
        self._steps, self._first_step = steps, first_step

    def __len__(self) -> int:
        """Steps of the whole run: Lightning counts those before first_step as done."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        return (self[step] for step in range(self._first_step, self._steps))

    def __getitem__(self, step: int) -> Batch:
        start = step * self._batch_size
        ids = range(start, start + self._batch_size)
        pairs = [self._example(position) for position in ids]
        images, labels = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
        return Batch(torch.from_numpy(images), torch.from_numpy(labels), torch.tensor(ids))

    def _example(self, position: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        round_, place = divmod(position, len(self._records))
        record = self._records[int(_order(self._seed, round_, len(self._records))[place])]
        rng = np.random.default_rng([self._seed, position, 1])
        return _augment(rng, record.image, _draw_mask(rng, record))


@lru_cache(maxsize=2)
def _order(seed: int, round_: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, round_, 0]).permutation(count)


def _draw_mask(rng: np.random.Generator, record: Record) -> NDArray[np.uint8]:
    if record.weights is None:
        return record.masks[rng.integers(len(record.masks))]
    weights = record.weights.astype(np.float64)
    return record.masks[rng.choice(len(record.masks), p=weights / weights.sum())]


def _augment(
    rng: np.random.Generator, image: NDArray[np.float32], mask: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    turns = int(rng.integers(4)) if image.shape[-1] == image.shape[-2] else 2 * int(rng.integers(2))
    flip = slice(None, None, -1) if rng.integers(2) else slice(None)
    return (
        np.ascontiguousarray(np.rot90(image, turns, axes=(-2, -1))[..., flip]),
        np.ascontiguousarray(np.rot90(mask, turns, axes=(-2, -1))[..., flip]),
    )
