"""Synthetic data sets: images that are drawn, and whose distribution over segmentations is known exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.blobs import texture
from fastpunet.data.lazy import Header
from fastpunet.data.record import Record
from fastpunet.intensity import EIGHT_BIT, Intensity


class Scene(NamedTuple):
    """What an image shows and how it is annotated.

    brightness  float64 (*shape), of what lies on the background
    masks       bool (M, *shape), all possible segmentations
    weights     float32 (M,), their probabilities
    """

    brightness: NDArray[np.float64]
    masks: NDArray[np.bool_]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class SyntheticRecords(Sequence[Record], ABC):
    """`n` records of size x size pixels; record i is a function of (seed, i) and the size alone."""

    n: int
    seed: int = 0
    size: int = 64

    modes: ClassVar[tuple[str, ...]]
    """What each of a record's masks is, in their order."""
    spacing: ClassVar[tuple[float, ...] | None] = None
    """Of the records, in mm."""
    background: ClassVar[float] = 0.2
    """The mean brightness where nothing is."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each image, (H, W) or (D, H, W)."""
        return (self.size, self.size)

    @abstractmethod
    def scene(self, rng: np.random.Generator) -> Scene:
        """The next scene that rng gives."""

    @property
    def intensity(self) -> Intensity:
        """Images are made in [0, 1]; in files they are 8-bit pictures."""
        return EIGHT_BIT

    def header(self, index: int) -> Header:
        """The properties of a record, without drawing it."""
        return Header(f"record {index % self.n}", (1, *self.shape), len(self.modes), self.spacing)

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.n))]
        if not -self.n <= index < self.n:
            raise IndexError(f"index: got {index}, expected less than {self.n}")
        place = index % self.n
        rng = np.random.default_rng([self.seed, place])
        scene = self.scene(rng)
        image = self.background + texture(rng, self.shape) + scene.brightness + rng.normal(scale=0.03, size=self.shape)
        return Record(
            image=np.clip(image, 0, 1)[None].astype(np.float32),
            masks=scene.masks.astype(np.uint8),
            id=place,
            weights=scene.weights,
            spacing=self.spacing,
        )
