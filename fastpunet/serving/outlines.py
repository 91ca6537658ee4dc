"""Masks as closed lines, which are smaller than masks and can be drawn anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.optional import require


def outlines(labels: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """The outlines of all labels but 0 in a label map (H, W), or in each slice of one (D, H, W), for JSON.

    Each is {"label": ..., "slice": ..., "points": [[row, column], ...]}, closed, in pixels from the centre of the first
    one; "slice" is None for (H, W). They are contours at level 0.5: the pixels whose centres lie inside an odd number
    of a label's outlines are those that have it. Needs contourpy.

    >>> outlines(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.uint8))[0]["points"]
    [[1.0, 0.5], [0.5, 1.0], [1.0, 1.5], [1.5, 1.0], [1.0, 0.5]]
    """
    slices = enumerate(labels) if labels.ndim == 3 else [(None, labels)]
    return [
        {"label": label, "slice": place, "points": points}
        for place, plane in slices
        for label in range(1, int(plane.max()) + 1)
        for points in _loops(plane == label)
    ]


def _loops(mask: NDArray[np.bool_]) -> list[list[list[float]]]:
    """The contours of a mask (H, W), with background around it, so that each is closed."""
    if not mask.any():
        return []
    lines = require("contourpy", "outlines", "serve").contour_generator(z=np.pad(mask, 1).astype(np.float32)).lines(0.5)
    return [(line[:, ::-1] - 1).tolist() for line in lines]
