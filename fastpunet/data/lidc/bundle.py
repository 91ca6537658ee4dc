"""LIDC slices in an npz bundle, a bit per pixel and mask."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.lazy import LazyRecords
from fastpunet.data.npz import read_members
from fastpunet.data.record import Record


class PackedRecords(LazyRecords):
    """Records kept as uint8 images (N, H, W) and packed masks (N, M, H, ceil(W / 8)), unpacked on access."""

    def __init__(self, images: NDArray[np.uint8], masks_packed: NDArray[np.uint8], patients: NDArray[np.str_]) -> None:
        super().__init__(range(len(images)))
        self._images, self._masks, self._patients = images, masks_packed, patients.astype(str).tolist()

    def _all_patients(self) -> Sequence[str]:
        return self._patients

    def _record(self, place: int) -> Record:
        image = self._images[place][None].astype(np.float32) / 255
        masks = np.unpackbits(self._masks[place], axis=-1, count=image.shape[-1])
        return Record(image, masks, id=place, patient=self._patients[place])


def read_npz(path: str | os.PathLike[str]) -> PackedRecords:
    """Read a bundle with `images` uint8 (N, H, W), `masks_packed` uint8 (N, M, H, ceil(W / 8)) and `patient` (N,).

    Images come as float32 in [0, 1], one channel; masks as 0/1; ids count from 0. Raises
    FileNotFoundError, and ValueError for a file that is truncated, is no npz, lacks a member, is empty or whose members
    do not fit together.
    """
    images, masks, patients = read_members(path, ("images", "masks_packed", "patient"))
    count, height, width = images.shape if images.ndim == 3 else (-1, -1, -1)
    packed = (height, -(-width // 8))
    fits = masks.ndim == 4 and patients.shape == (count,) and len(masks) == count and masks.shape[2:] == packed
    if not fits or images.dtype != np.uint8 or masks.dtype != np.uint8:
        raise ValueError(
            f"path: {path} holds images {images.dtype}{images.shape} and masks_packed {masks.dtype}{masks.shape}; "
            "expected uint8 (N, H, W) and uint8 (N, M, H, ceil(W / 8))"
        )
    if not images.size or not masks.shape[1]:
        raise ValueError(
            f"path: {path} is empty: images {images.shape}, masks_packed {masks.shape}; "
            "expected at least one record with one mask; copy or make it again"
        )
    return PackedRecords(images, masks, patients)
