"""The record type of all data sets: an image and its known segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORE = 255  # label of pixels that nobody annotated: training and metrics leave them out


@dataclass(frozen=True)
class Record:
    """One image with its graders' segmentations, or with the exact distribution over segmentations.

    Without `weights` the masks are annotations, drawn from an unknown distribution. Their number M may differ between
    records, and is 0 if nobody graded the image. With `weights` the masks are all possible segmentations, and the
    weights are their probabilities. Pixels labelled `IGNORE` (255) are not annotated.

    The last four fields say where the record comes from, so that tables and files can name it. They are empty if the
    data set does not say. To change a record, use `dataclasses.replace`, which keeps them.
    """

    image: NDArray[np.float32]  # (C, *size), scaled for the model; size is (H, W) or (D, H, W)
    masks: NDArray[np.uint8]  # (M, *size), class indices, or IGNORE
    id: int
    patient: str = ""
    weights: NDArray[np.float32] | None = None  # (M,), summing to 1
    name: str = ""  # of the image's file, or of its series
    slice: int | None = None  # its index in the volume of the file, or in the nodule of the series
    raters: tuple[str, ...] = ()  # the rater of each mask, in the order of the masks
    spacing: tuple[float, ...] | None = None  # mm between pixels along each axis of `size`


Records = Sequence[Record]
