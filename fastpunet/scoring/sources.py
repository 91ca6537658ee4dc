"""Sources of hypotheses: a model, or one of the yardsticks with which a model is compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fastpunet.data import Record
from fastpunet.masks import PackedMasks
from fastpunet.sampler import Sampler
from fastpunet.scoring.references import title

_CHUNK_PIXELS = {
    "cpu": 1 << 24,
    "cuda": 1 << 28,
}  # pixels of all hypotheses drawn in one call, which then takes less than a second


class Source(Protocol):
    """Draws hypotheses of records.

    num_classes     the number of classes of the hypotheses, 1 if they are binary
    max_hypotheses  the largest number of hypotheses of one image; None: no limit
    device          the device on which hypotheses are drawn and scored
    name            the name of the source in messages
    """

    num_classes: int
    max_hypotheses: int | None
    device: torch.device
    name: str

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        """n hypotheses (B, n, *size) of each record. The records' images have one shape."""


def available(source: Source, n: int) -> int:
    """n, or the largest number of hypotheses that the source can draw, if that is smaller."""
    return n if source.max_hypotheses is None else min(n, source.max_hypotheses)


class ModelSource:
    """Draws the hypotheses of a model. They are a function of the weights, the image, the seed and the record's id.

    model: any model that `fastpunet.sample` takes, on its device. Drawing raises ValueError, naming the record, for an
    image whose channels or dimensions the model does not take.
    """

    def __init__(self, model: nn.Module, *, seed: int = 0, precision: str = "auto") -> None:
        self._sampler, self._seed = Sampler(model, precision=precision), seed
        self._method = method = self._sampler.method
        self.num_classes, self.max_hypotheses = method.num_classes, method.max_hypotheses
        self.device, self.name = method.device, method.name

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        for record in records:
            self._check_image(record)
        images = torch.from_numpy(np.stack([record.image for record in records])).to(self.device)
        return self._sample(images, torch.tensor([record.id for record in records]), n)

    def _check_image(self, record: Record) -> None:
        channels, *size = record.image.shape
        if len(size) != self._method.dims:
            raise ValueError(
                f"records: the image of {title(record)} has {len(size)} dimensions, {' x '.join(map(str, size))}, but "
                f"the model takes {self._method.dims}; read volumes whole or slice by slice, as the model was trained"
            )
        if channels != self._method.in_channels:
            raise ValueError(
                f"records: the image of {title(record)} has {channels} channels, but the model takes "
                f"{self._method.in_channels}; convert the images, or score another model"
            )

    def _sample(self, images: Tensor, ids: Tensor, n: int) -> PackedMasks:
        pixels = images[:, 0].numel()
        chunk = max(1, _CHUNK_PIXELS.get(self.device.type, _CHUNK_PIXELS["cpu"]) // pixels)
        return self._sampler.sample(
            images, n, seed=self._seed, ids=ids, output="bits", chunk=None if chunk >= n else chunk
        )
