"""Which images a model was trained on, as hashes of their pixels that are kept with its weights."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.models.from_dict import from_dict

MOST = 2048  # hashes that are kept: 22 KB in a file
_BYTES = 8  # of a hash: two of a million images have the same one with a probability of 3e-8


@dataclass(frozen=True)
class TrainingImages:
    """The images that a model was trained on, which are thereby recognised when it is scored.

    hashes    hashes of images as the model takes them, ascending, behind one another in base64
    complete  whether these are all images; else they are a sample of `MOST`

    Pixels cannot be computed from a hash. But whoever has an image can tell by it whether the model was trained on it.

    >>> images = [np.float32([[[0, k]]]) for k in range(1, 4)]
    >>> known = TrainingImages.of(images[:2])
    >>> [image in known for image in images], str(known)
    ([True, True, False], 'fastpunet evaluate recognises the images that it was trained on')
    """

    hashes: str
    complete: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.hashes, str) or not _are_hashes(self.hashes):
            raise ValueError(f"training_images: hashes is {self.hashes!r:.80}, expected at most {MOST} in base64")
        if type(self.complete) is not bool:
            raise ValueError(f"training_images: complete is {self.complete!r:.80}, expected true or false")

    @classmethod
    def of(cls, images: Iterable[NDArray[np.float32]], *, complete: bool = True) -> TrainingImages:
        """Those of at most `MOST` images (C, *size). An image of a single value is like any other, and does not count.

        complete: whether these are all images of the training.
        """
        return _of({_hash(image) for image in images if image.min() != image.max()}, complete)

    @classmethod
    def from_dict(cls, values: object) -> TrainingImages:
        """Read the result of `to_dict`. Raises ValueError."""
        found: TrainingImages = from_dict("training_images", cls, values)
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __contains__(self, image: NDArray[np.float32]) -> bool:
        """Whether an image (C, *size), as the model takes it, is one of them."""
        return _hash(image) in self._known

    def __or__(self, others: TrainingImages | None) -> TrainingImages:
        """These and the images of an earlier training, if any are known."""
        return self if others is None else _of(self._known | others._known, self.complete and others.complete)

    def __str__(self) -> str:
        """In a sentence."""
        some = "" if self.complete else f"{len(self._known):,} of "
        return f"fastpunet evaluate recognises {some}the images that it was trained on"

    @cached_property
    def _known(self) -> frozenset[bytes]:
        joined = base64.b64decode(self.hashes)
        return frozenset(joined[start : start + _BYTES] for start in range(0, len(joined), _BYTES))


def _of(hashes: Iterable[bytes], complete: bool) -> TrainingImages:
    """Of too many the smallest, which are a random sample."""
    ordered = sorted(hashes)
    return TrainingImages(base64.b64encode(b"".join(ordered[:MOST])).decode(), complete and len(ordered) <= MOST)


def _hash(image: NDArray[np.float32]) -> bytes:
    values = np.ascontiguousarray(image, "<f4")
    return hashlib.blake2b(values.tobytes(), digest_size=_BYTES, key=str(values.shape).encode()).digest()


def _are_hashes(text: str) -> bool:
    try:
        size = len(base64.b64decode(text, validate=True))
    except ValueError:
        return False
    return size % _BYTES == 0 and size <= MOST * _BYTES
