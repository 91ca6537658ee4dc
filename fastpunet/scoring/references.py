"""The references of images, which are graders' masks or all possible ones, packed and checked against the classes."""

from __future__ import annotations

import math
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

    masks    PackedMasks (B, M, *size), in which pixels labelled `IGNORE` (255) have no class; None if nobody annotated
             these images
    weights  float32 (B, M), the probabilities of the masks if they are the exact distribution; None for graders
    ignore   bool (B, *size), True where any grader left the pixel unannotated; None if there is no such pixel
    voxels   float64 (B,), the ml of a voxel of each volume, NaN where the spacing is unknown; None for images
    """

    masks: PackedMasks | None
    weights: Tensor | None
    ignore: Tensor | None
    voxels: Tensor | None = None

    @staticmethod
    def of(records: Sequence[Record], num_classes: int, device: torch.device) -> References:
        """Pack the masks of records with arrays of the same shapes, for `num_classes` (1 or 2 for binary masks).

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
        return References(masks, weights, ignored if ignored.any() else None, _voxels(records, device))

    @property
    def graders(self) -> int:
        """The number of graders of each image; 0 if there are none, or if the exact distribution is known."""
        return 0 if self.masks is None or self.weights is not None else self.masks.shape[1]


def _voxels(records: Sequence[Record], device: torch.device) -> Tensor | None:
    if records[0].masks.ndim != 4:
        return None
    cubic_mm = [math.nan if record.spacing is None else math.prod(record.spacing) for record in records]
    return torch.tensor(cubic_mm, dtype=torch.float64, device=device) / 1000


def title(record: Record) -> str:
    """The name of a record in messages: its file and slice if they are known, else its number and patient."""
    if record.name:
        return record.name if record.slice is None else f"slice {record.slice} of {record.name}"
    return f"record {record.id}" + (f" of patient {record.patient}" if record.patient else "")


def _check_classes(record: Record, num_classes: int) -> None:
    labels = np.flatnonzero(np.bincount(record.masks.ravel(), minlength=IGNORE + 1)[:IGNORE])
    classes = max(2, num_classes)
    if len(labels) and labels[-1] >= classes:
        raise ValueError(
            f"records: the masks of {title(record)} have the label {labels[-1]}, but the model has the classes 0 .. "
            f"{classes - 1}; score it on a data set with its own classes, or use a model that was trained on these"
        )
