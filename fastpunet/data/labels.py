"""Converts the values that mask files hold to class indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.reading import warn_once
from fastpunet.data.record import IGNORE

_PART = 1 << 20  # pixels counted at a time, because NumPy's count makes a copy with 8 bytes per pixel


def class_indices(values: NDArray[np.uint8], white: int, binary: bool, path: Path) -> NDArray[np.uint8]:
    """Class indices of one mask of any shape.

    With `binary`, the values mean background and foreground: 0 and 1, or 0 and `white`, the largest value that the file
    can hold (255 for 8 bits). Otherwise the values are class indices, and 255 is IGNORE, not annotated. Raises
    ValueError if `binary` is true and there are other values.

    >>> class_indices(np.array([[0, 255]], np.uint8), 255, binary=True, path=Path("mask.png")).tolist()
    [[0, 1]]
    """
    if not binary:
        return values
    found = values_above_zero(values)
    if found not in ([], [1], [white], [IGNORE]):
        raise ValueError(
            f"mask: {path} holds values {found[:8]} besides 0, expected 0 and 1, or 0 and {max(white, 2)}, for two "
            "classes; threshold it, or take more than two classes if they are class indices"
        )
    return (values != 0).astype(np.uint8)


def is_binary(masks: Sequence[NDArray[np.uint8]], binary: bool | None, path: Path) -> bool:
    """Whether all masks of one image hold only background and foreground. A caller who knows passes it as `binary`.

    With None, they do if 255 is the only value besides 0, and a warning says so (`path` is that of a mask). Otherwise
    they hold class indices. Another warning says if some masks hold 0 and 255, and others 0 and 1.
    """
    if binary is not None:
        return binary
    found = [set(values_above_zero(mask)) for mask in masks]
    if {1} in found and {IGNORE} in found and all(values <= {1} or values == {IGNORE} for values in found):
        warn_once(
            f"{path.parent}: some masks of an image hold 0 and 255, others 0 and 1, and 255 is taken as not annotated; "
            "pass binary=True if both mean background and foreground, or binary=False to say so",
            (path.parent, "1 and 255"),
        )
    if set().union(*found) != {IGNORE}:
        return False
    warn_once(
        f"{path.parent}: masks that hold only 0 and 255 are taken as background and foreground; pass binary=True to "
        "say so, or binary=False if 255 means not annotated",
        (path.parent, "two values"),
    )
    return True


def values_above_zero(values: NDArray[np.uint8]) -> list[int]:
    """The values of 1 .. 255 that occur, ascending."""
    flat = values.ravel()
    counts = sum(np.bincount(flat[start : start + _PART], minlength=256) for start in range(0, flat.size, _PART))
    return [int(value) for value in np.flatnonzero(counts) if value]
