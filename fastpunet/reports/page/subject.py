"""What a page is about: an image, as its file stores it and as a model takes it, and its annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.prediction.preparation import Prepared

MOST_COLOURS = 3


@dataclass(frozen=True, eq=False)
class Subject:
    """One image of two dimensions with its annotations.

    title        its name, as the user knows it
    origin       the file or data set that it came from
    prepared     the image as the model takes it, (1, C, *size), and the `Input` that it came from
    stored       (C, H, W), the values as they are stored
    id           whose noise its hypotheses have
    annotations  name -> uint8 (H, W), class indices, 255 where it is not annotated
    notes        how the image came to be what is shown, a sentence each; what is doubtful about it, `prepared` says
    drawn        reads its hypotheses uint8 (n, H, W), if they were drawn before
    """

    title: str
    origin: str
    prepared: Prepared
    stored: NDArray[Any]
    id: int
    annotations: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    drawn: Callable[[], NDArray[np.uint8]] | None = None

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.prepared.source.size
        return height, width

    def titled(self, title: str) -> Subject:
        """The same under another name."""
        return replace(self, title=title)
