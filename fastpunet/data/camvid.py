"""CamVid: street scenes with one label map each, for stochastic class flips when Cityscapes is not available."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.lazy import Header, LazyRecords
from fastpunet.data.npz import as_text, read_members
from fastpunet.data.record import IGNORE, Record
from fastpunet.intensity import EIGHT_BIT, Intensity

CLASSES = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
)
FLIPS = {4: 8 / 17, 9: 7 / 17, 8: 6 / 17, 5: 5 / 17, 3: 4 / 17}  # as Kohl et al. 2018 flip Cityscapes' counterparts


class CamVidRecords(LazyRecords):
    """Records kept as uint8 images (N, H, W, 3) and labels (N, H, W)."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.uint8], names: list[str], rule: Intensity) -> None:
        super().__init__(range(len(images)))
        self._images, self._labels, self._names, self._rule = images, labels, names, rule
        self._sequences = [name.split("_")[0] for name in names]

    @property
    def intensity(self) -> Intensity:
        return self._rule

    def _all_patients(self) -> Sequence[str]:
        return self._sequences

    def _record(self, place: int) -> Record:
        image = np.ascontiguousarray(self._rule.apply(self._images[place].transpose(2, 0, 1)))
        masks = self._labels[place][None]
        return Record(image, masks, id=place, patient=self._sequences[place], name=self._names[place])

    def _header(self, place: int) -> Header:
        height, width, channels = self._images.shape[1:]
        return Header(self._names[place], (channels, height, width), 1)


def read_npz(path: str | os.PathLike[str], *, intensity: Intensity | None = None) -> CamVidRecords:
    """Read a bundle with `images` uint8 (N, H, W, 3), `labels` uint8 (N, H, W), `names` (N,) and `ignore_index`.

    Images are float32 (3, H, W) in [0, 1], by default divided by 255. Each has one mask (1, H, W) of class indices into
    `CLASSES`, in which the bundle's ignore_index becomes IGNORE. The frames are from videos, so the sequence (the name
    up to the first "_") is used as the patient. Ids count from 0. Raises FileNotFoundError, and ValueError for a file
    that is truncated, is no npz, lacks a member, is empty, holds other labels or whose members do not fit together.
    """
    images, labels, names, ignore = read_members(path, ("images", "labels", "names", "ignore_index"))
    fits = images.ndim == 4 and images.shape[-1] == 3 and labels.shape == images.shape[:3]
    fits = fits and ignore.shape == () and ignore.dtype.kind in "iu"
    if not fits or names.shape != images.shape[:1] or images.dtype != np.uint8 or labels.dtype != np.uint8:
        raise ValueError(
            f"path: {path} holds images {images.dtype}{images.shape}, labels {labels.dtype}{labels.shape}, names "
            f"{names.shape} and ignore_index {ignore.dtype}{ignore.shape}; expected uint8 (N, H, W, 3), uint8 "
            "(N, H, W), (N,) and a whole number"
        )
    if not images.size:
        raise ValueError(f"path: {path} is empty: images {images.shape}; expected at least one record; copy it again")
    labels = np.where(labels == ignore, np.uint8(IGNORE), labels)
    unknown = np.setdiff1d(labels, (*range(len(CLASSES)), IGNORE))
    if unknown.size:
        raise ValueError(
            f"path: {path} has labels {unknown[:8].tolist()}, expected 0 .. {len(CLASSES) - 1} or {ignore}; "
            "copy it again"
        )
    return CamVidRecords(images, labels, as_text(names), intensity or EIGHT_BIT)
