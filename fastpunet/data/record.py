"""One record type for every data set: an image and all that is known of its segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORE = 255  # label of pixels that nobody annotated: training and metrics leave them out


@dataclass(frozen=True)
class Record:
    """One image with its graders' segmentations, or with the exact distribution over segmentations.

    Without `weights` the masks are annotations, drawn from an unknown distribution. Their number M may differ from
    record to record, and is 0 where nobody graded the image. With `weights` the masks are all the possible
    segmentations, and the weights their probabilities. Pixels labelled `IGNORE` (255) are not annotated.

    The last four fields say where the record comes from, so that tables and files can name it. They are empty where the
    data set does not say. To change a record, use `dataclasses.replace`, which keeps them.
    """

    image: NDArray[np.float32]  # (C, *size), scaled for the model; size is (H, W) or (D, H, W)
    masks: NDArray[np.uint8]  # (M, *size), class indices, or IGNORE
    id: int
    patient: str = ""
    weights: NDArray[np.float32] | None = None  # (M,), summing to 1
    name: str = ""  # of the image's file, or of its series
    slice: int | None = None  # its place in the volume that the file holds, or in the series' nodule
    raters: tuple[str, ...] = ()  # whose masks these are, one name a mask, in order
    spacing: tuple[float, ...] | None = None  # mm between pixels along each axis of `size`


Records = Sequence[Record]
