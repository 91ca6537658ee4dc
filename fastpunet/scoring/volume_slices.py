"""Chooses the slice of a volume that pictures show."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastpunet.data import IGNORE, Record


def fullest_slice(record: Record) -> int | None:
    """The index of the slice of a volume (D, H, W) with the most marked pixels; None for a 2-D image."""
    if record.image.ndim == 3:
        return None
    foreground = (record.masks > 0) & (record.masks != IGNORE)
    return int(foreground.sum((0, 2, 3)).argmax())


def sliced(arrays: NDArray[Any], place: int | None) -> NDArray[Any]:
    """The slice (N, H, W) of arrays (N, D, H, W) at that index; for None the arrays unchanged."""
    return arrays if place is None else arrays[:, place]
