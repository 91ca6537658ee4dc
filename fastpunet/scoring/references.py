"""What is known of the truth about some images: the graders' masks, packed and checked against a model's classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fastpunet.data import IGNORE, Record
from fastpunet.masks import PackedMasks


@dataclass(frozen=True, eq=False)
class References:
    """The masks of B images that have the same size and the same number of masks M.

    masks    PackedMasks (B, M, *size), the class `IGNORE` (255) nowhere; None if nobody annotated these images
    weights  float32 (B, M), the masks' probabilities where they are the exact distribution; None for graders
    ignore   bool (B, *size), True where anybody left a pixel unannotated; None if there is no such pixel
    """

    masks: PackedMasks | None
    weights: Tensor | None
    ignore: Tensor | None

    @staticmethod
    def of(records: Sequence[Record], num_classes: int, device: torch.device) -> References:
        """The masks of records of one frame, for a model of `num_classes` (1 or 2 for binary masks).

        Raises ValueError, naming the record, for a mask with a class that the model does not have.
        """
        if not len(records[0].masks):
            return References(None, None, None)
        for record in records:
            _check_classes(record, num_classes)
        labels = torch.from_numpy(np.stack([record.masks for record in records])).to(device)
        ignored = (labels == IGNORE).any(1)
        masks = PackedMasks.pack(labels.masked_fill(ignored[:, None], 0), None if num_classes == 1 else num_classes)
        weights = None
        if records[0].weights is not None:
            weights = torch.from_numpy(np.stack([record.weights for record in records])).to(device)  # type: ignore[misc]
        return References(masks, weights, ignored if ignored.any() else None)

    @property
    def graders(self) -> int:
        """How many graders annotated each of these images; 0 if nobody did, or if the exact distribution is known."""
        return 0 if self.masks is None or self.weights is not None else self.masks.shape[1]


def title(record: Record) -> str:
    """What messages call a record: its file and slice where they are known, else its number and patient."""
    if record.name:
        return record.name if record.slice is None else f"slice {record.slice} of {record.name}"
    return f"record {record.id}" + (f" of patient {record.patient}" if record.patient else "")


def _check_classes(record: Record, num_classes: int) -> None:
    labels = np.flatnonzero(np.bincount(record.masks.ravel(), minlength=IGNORE + 1)[:IGNORE])
    classes = max(2, num_classes)
    if len(labels) and labels[-1] >= classes:
        raise ValueError(
            f"records: the masks of {title(record)} have the label {labels[-1]}, and the model has the classes 0 .. "
            f"{classes - 1}; score it on a data set of its own classes, or take a model that was trained on these"
        )
