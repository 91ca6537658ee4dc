"""Packs label maps of any origin, once they are checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fastpunet.masks import PackedMasks


def pack(labels: NDArray[np.uint8], titles: Sequence[str], num_classes: int, device: torch.device) -> PackedMasks:
    """Label maps uint8 (B, n, *size) of images with these titles, packed. Raises ValueError for other classes."""
    classes = max(2, num_classes)
    for title, its in zip(titles, labels, strict=True):
        if its.max() >= classes:
            raise ValueError(
                f"hypotheses: those of {title} have the label {its.max()}, expected 0 .. {classes - 1}; say how many "
                "classes there are with --num-classes"
            )
    return PackedMasks.pack(torch.from_numpy(labels).to(device), None if num_classes == 1 else num_classes)
