"""One slice of a volume, for pictures."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastpunet.data import IGNORE, Record


def fullest_slice(record: Record) -> int | None:
    """The slice of a volume (D, H, W) in which most is marked; None for a plane image."""
    if record.image.ndim == 3:
        return None
    foreground = (record.masks > 0) & (record.masks != IGNORE)
    return int(foreground.sum((0, 2, 3)).argmax())


def sliced(arrays: NDArray[Any], place: int | None) -> NDArray[Any]:
    """Of arrays (N, D, H, W) the slice (N, H, W) at that place; for None the arrays as they are."""
    return arrays if place is None else arrays[:, place]
