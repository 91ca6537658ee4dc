"""Training batches as a pure function of (seed, step), so that a resumed run sees what an uninterrupted one would."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from fastpunet.data import Record, Records
from fastpunet.training.augmentation import Augmentation, Example
from fastpunet.training.config import TrainingConfig
from fastpunet.training.rated import places_of


class Batch(NamedTuple):
    images: Tensor  # float32 (B, C, H, W)
    labels: Tensor  # uint8 (B, G, H, W), G random graders an image
    ids: Tensor  # int64 (B,), position in the whole run: step * batch_size + i
    raters: Tensor | None = None  # int64 (B, G), the graders' places among the raters that the model tells apart


class Batches(IterableDataset[Batch]):
    """The batches of steps first_step .. config.steps - 1, in order.

    Every record is used once before any is used again. Graders are drawn each time: without replacement until all have
    been drawn, or by the record's weights. The examples of a step are divided among `processes` processes, and each
    process computes its share in config.accumulate parts. These numbers do not change the examples of a step.
    """

    def __init__(
        self, records: Records, config: TrainingConfig, first_step: int = 0, *, process: int = 0, processes: int = 1
    ) -> None:
        self._records, self._config, self._first_step = records, config, first_step
        self._process, self._processes = process, processes
        parts = processes * config.accumulate
        if config.batch_size % parts:
            raise ValueError(
                f"batch_size: got {config.batch_size}, expected a multiple of {parts}, the number of processes times "
                "accumulate"
            )
        self._size = config.batch_size // parts
        self._augment = Augmentation(config.augmentation)

    def __len__(self) -> int:
        """The number of batches of the whole run, because Lightning counts those before first_step as done."""
        return self._config.steps * self._config.accumulate

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        start = self._first_step * self._config.accumulate + first
        return (self[index] for index in range(start, len(self), stride))

    def __getitem__(self, index: int) -> Batch:
        """Batch `index` of this process, which has config.accumulate batches for each step."""
        start = (index * self._processes + self._process) * self._size
        ids = range(start, start + self._size)
        examples, raters = zip(*map(self._example, ids), strict=True)
        images, labels = (np.stack(arrays) for arrays in zip(*examples, strict=True))
        told = torch.tensor(raters, dtype=torch.int64)
        return Batch(torch.from_numpy(images), torch.from_numpy(labels), torch.tensor(ids), told)

    def _example(self, position: int) -> tuple[Example, list[int]]:
        """The example at a position of the run, and whose its masks are, if the model tells raters apart."""
        round_, place = divmod(position, len(self._records))
        seed = self._config.seed
        record = self._records[int(_order(seed, round_, len(self._records))[place])]
        rng = np.random.default_rng([seed, position, 1])
        graders = draw_graders(rng, record, self._config.graders_per_image)
        example = self._augment(int(rng.integers(2**32)), (record.image, record.masks[graders]))
        if self._config.crop is not None:
            example = crop(example, self._config.crop, rng if self._config.crop_anywhere else None)
        return example, places_of(record, graders, self._config.raters) if self._config.raters else []


@lru_cache(maxsize=2)
def _order(seed: int, round_: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, round_, 0]).permutation(count)


def draw_graders(rng: np.random.Generator, record: Record, count: int) -> NDArray[np.int64]:
    """Draw `count` of a record's masks: their indices (count,)."""
    graders = len(record.masks)
    if record.weights is None:
        return np.resize(rng.permutation(graders), count)
    weights = record.weights.astype(np.float64)
    return rng.choice(graders, size=count, p=weights / weights.sum())


def crop(example: Example, size: tuple[int, ...], rng: np.random.Generator | None = None) -> Example:
    """The central part (H, W) or (D, H, W) of image and masks, or, with a generator, a part at a random position."""
    whole = example[0].shape[1:]
    room = [have - want for have, want in zip(whole, size, strict=True)]
    if min(room) < 0:
        raise ValueError(f"crop: got {list(size)}, expected at most the images' {list(whole)} pixels")
    firsts = [extra // 2 if rng is None else int(rng.integers(extra + 1)) for extra in room]
    place: Any = (..., *(slice(first, first + side) for first, side in zip(firsts, size, strict=True)))
    image, masks = (array[place] for array in example)
    return np.ascontiguousarray(image), np.ascontiguousarray(masks)
