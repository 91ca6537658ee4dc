"""Hypotheses that come one batch after another, such as from the loop of another project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from fastpunet.data import Record
from fastpunet.masks import PackedMasks
from fastpunet.scoring.references import title
from fastpunet.scoring.stored.packing import pack


class Stream:
    """Label maps from any iterable, such as a DataLoader, in the order of the records.

    batches      yields integer or bool tensors (B, n, *size) of any B; images are taken in order, and each once
    n            hypotheses of each image

    Evaluate it with `scoring.evaluate.evaluate_source(Stream(...), records, ns)`. Raises ValueError if there are fewer
    images than records, and for other sizes, numbers or classes.
    """

    def __init__(
        self, batches: Iterable[Tensor], n: int, num_classes: int = 1, *, name: str = "stream", device: str = "cpu"
    ) -> None:
        self._images = (image for batch in batches for image in batch)
        self.max_hypotheses: int | None = n
        self.num_classes, self.name, self.device = num_classes, name, torch.device(device)

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        """The first n hypotheses of the next images, which are those of the records."""
        labels = []
        for record in records:
            image = next(self._images, None)
            if image is None:
                raise ValueError(
                    f"batches: ended before {title(record)}; expected hypotheses of every record, in order"
                )
            if not isinstance(image, Tensor) or image.is_floating_point() or image.is_complex():
                got = image.dtype if isinstance(image, Tensor) else type(image).__name__
                raise TypeError(
                    f"batches: got {got}, expected tensors of class indices; threshold or argmax them first"
                )
            if image.shape[0] < n or tuple(image.shape[1:]) != record.image.shape[1:]:
                raise ValueError(
                    f"batches: got {tuple(image.shape)} for {title(record)}, expected at least {n} label maps of "
                    f"{record.image.shape[1:]}"
                )
            if image.min() < 0 or image.max() > 255:
                raise ValueError(f"batches: got labels {int(image.min())} .. {int(image.max())}, expected 0 .. 255")
            labels.append(image[:n].to("cpu", torch.uint8).numpy())
        return pack(np.stack(labels), [title(record) for record in records], self.num_classes, self.device)
