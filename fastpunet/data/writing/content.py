"""What is written: hypotheses or a map, checked against their image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.inputs import Input
from fastpunet.data.inputs.orienting import as_stored

_ROUNDING = 1e-5  # of sums of probabilities in float32


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Hypotheses of one image."""

    image: Input
    labels: NDArray[np.uint8]  # (n, *size), class indices below num_classes
    num_classes: int  # at least 2
    titles: tuple[str, ...]  # one for each hypothesis

    @classmethod
    def checked(cls, image: Input, labels: object, num_classes: int, titles: Sequence[str] | None) -> Hypotheses:
        """Raises TypeError and ValueError, as `write_hypotheses` says."""
        if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8:
            got = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
            raise TypeError(f"labels: got {got}, expected a NumPy array of uint8; see tensor.numpy()")
        if labels.shape[1:] != image.size or not len(labels):
            raise ValueError(
                f"labels: got {labels.shape}, expected (n, {', '.join(map(str, image.size))}) with n >= 1, the size of "
                f"{image.name}"
            )
        if labels.max() >= num_classes:
            raise ValueError(
                f"labels: got a class {labels.max()}, expected 0 .. {num_classes - 1} for {num_classes} classes"
            )
        if titles is None:
            titles = [f"hypothesis {index}" for index in range(len(labels))]
        if len(titles) != len(labels):
            raise ValueError(f"titles: got {len(titles)} for {len(labels)} hypotheses, expected one for each")
        return cls(image, labels, num_classes, tuple(titles))

    def as_stored(self) -> Hypotheses:
        """On the axes of the image's files."""
        image, labels = as_stored(self.image, self.labels)
        return replace(self, image=image, labels=labels)


@dataclass(frozen=True, eq=False)
class FloatMap:
    """A map of real numbers over one image, or one for each class."""

    image: Input
    values: NDArray[np.float32]  # (*size) or (K, *size), in 0 .. largest
    largest: float

    @classmethod
    def checked(cls, image: Input, values: object, largest: float) -> FloatMap:
        """Raises TypeError and ValueError, as `write_map` says."""
        if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
            got = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
            raise TypeError(f"values: got {got}, expected a NumPy array of floats; see tensor.numpy()")
        dims = len(image.size)
        if values.shape[values.ndim - dims :] != image.size or values.ndim - dims not in (0, 1) or not values.size:
            raise ValueError(
                f"values: got {values.shape}, expected {image.size}, the size of {image.name}, or a class axis before "
                "that"
            )
        if not 0 < largest < math.inf:
            raise ValueError(f"largest: got {largest}, expected a number above 0")
        least, most = float(values.min()), float(values.max())
        if not (-_ROUNDING * largest <= least and most <= (1 + _ROUNDING) * largest):  # also of NaN
            raise ValueError(
                f"values: got numbers from {least:g} to {most:g}, expected 0 .. {largest:g}; raise largest if they are "
                "right"
            )
        return cls(image, np.clip(values, 0, largest).astype(np.float32), largest)

    def as_stored(self) -> FloatMap:
        """On the axes of the image's files."""
        image, values = as_stored(self.image, self.values)
        return replace(self, image=image, values=values)

    @property
    def classes(self) -> NDArray[np.float32]:
        """The maps of all classes (K, *size); K = 1 if there is only one map."""
        return self.values if self.values.ndim > len(self.image.size) else self.values[None]


def check_flat(image: Input, format: str) -> None:
    """Raise ValueError for volumes, which pictures cannot hold."""
    if len(image.size) != 2:
        raise ValueError(
            f"format: got {format} for {image.name}, a volume of {' x '.join(map(str, image.size))}; expected nifti, "
            "seg or npz"
        )
