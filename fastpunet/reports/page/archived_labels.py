"""The hypotheses of an archive as label maps, for a page."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastpunet.archive import StoredHypotheses

_BYTES = 1 << 26  # of label maps that are unpacked at a time


def stored_labels(stored: StoredHypotheses, place: int | None = None) -> NDArray[np.uint8]:
    """All hypotheses uint8 (n, *size), or, of a volume, their slice at a place. Raises ValueError for damage."""
    together = max(1, _BYTES // math.prod(stored.size))
    parts = []
    for first in range(0, stored.n, together):
        labels = stored[first : first + together].unpack()[0].numpy()
        parts.append(labels if place is None else labels[:, place].copy())
    return np.concatenate(parts)
