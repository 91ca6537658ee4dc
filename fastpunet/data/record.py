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

    weights None: `masks` are annotations, drawn from an unknown distribution; their number M may differ from record to
    record. Otherwise they are all the possible segmentations, and weights their probabilities. Pixels labelled `IGNORE`
    (255) are not annotated.
    """

    image: NDArray[np.float32]  # (C, H, W), scaled for the model
    masks: NDArray[np.uint8]  # (M, H, W), class indices, or IGNORE
    id: int
    patient: str = ""
    weights: NDArray[np.float32] | None = None  # (M,), summing to 1


Records = Sequence[Record]
