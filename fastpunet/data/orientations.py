"""How the axes of a volume lie in the body, and volumes on other axes.

An orientation is three letters, as those of nibabel's `aff2axcodes`. They say where rows, columns and slices count to:
(L)eft or (R)ight, (P)osterior or (A)nterior, (I)nferior or (S)uperior. They are in the order of a NIfTI file's axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.nifti import Axes
from fastpunet.models.orientation import OPPOSITE
from fastpunet.optional import require

_OF_FILE = (2, 0, 1)  # which axis of a file, of rows, columns and slices, each axis of an array (D, H, W) is


def orientation_of(affine: NDArray[np.float64] | None) -> str | None:
    """The letters of an affine (4, 4) from (row, column, slice) to RAS+; None if it has none, or no inverse.

    >>> orientation_of(np.diag([-1.0, 1, 2, 1]))
    'LAS'
    """
    if affine is None:
        return None
    codes = require("nibabel.orientations", "reading how axes lie in the body").aff2axcodes(affine)
    return None if None in codes else "".join(codes)


def axes_between(own: str, wanted: str) -> Axes:
    """For each axis of a volume that is wanted, that of the one at hand, and 1, or -1 for the other direction.

    >>> axes_between("LAS", "SRA")
    ((2, 1), (0, -1), (1, 1))
    """
    return tuple((own.index(to), 1) if to in own else (own.index(OPPOSITE[to]), -1) for to in wanted)


def back(axes: Axes) -> Axes:
    """The axes of the way back.

    >>> back(((2, 1), (0, -1), (1, 1)))
    ((1, -1), (2, 1), (0, 1))
    """
    return tuple(next((i, turn) for i, (axis, turn) in enumerate(axes) if axis == wanted) for wanted in range(3))


def turned(values: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """A volume (..., D, H, W) on other axes; a view.

    >>> turned(np.arange(4).reshape(1, 2, 2), ((0, -1), (1, 1), (2, 1))).tolist()  # rows the other way round
    [[[2, 3], [0, 1]]]
    """
    lead = values.ndim - 3
    place = {axis: lead + of_array for of_array, axis in enumerate(_OF_FILE)}
    ordered = [axes[axis] for axis in _OF_FILE]
    permuted = values.transpose(*range(lead), *(place[axis] for axis, _ in ordered))
    directions: tuple[Any, ...] = (..., *(slice(None, None, turn) for _, turn in ordered))
    return permuted[directions]


def turned_affine(affine: NDArray[np.float64], shape: tuple[int, int, int], axes: Axes) -> NDArray[np.float64]:
    """The affine of a volume with `shape` rows, columns and slices on other axes."""
    onto = np.zeros((4, 4))
    onto[3, 3] = 1
    for i, (axis, turn) in enumerate(axes):
        onto[axis, i] = turn
        onto[axis, 3] = 0 if turn > 0 else shape[axis] - 1
    return affine @ onto
