"""LIDC-IDRI: lung CT slices with the masks of four radiologists."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.record import Record


class PackedRecords(Sequence[Record]):
    """Records kept as uint8 images (N, H, W) and packed masks (N, M, H, ceil(W / 8)), unpacked on access."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        masks_packed: NDArray[np.uint8],
        patients: NDArray[np.str_],
        ids: NDArray[np.int64],
    ) -> None:
        self._images, self._masks, self._patients, self._ids = images, masks_packed, patients, ids

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> PackedRecords: ...
    def __getitem__(self, index: int | slice) -> Record | PackedRecords:
        if isinstance(index, slice):
            return PackedRecords(self._images[index], self._masks[index], self._patients[index], self._ids[index])
        image = self._images[index][None].astype(np.float32) / 255
        masks = np.unpackbits(self._masks[index], axis=-1, count=image.shape[-1])
        return Record(image, masks, id=int(self._ids[index]), patient=str(self._patients[index]))


def read_npz(path: str | os.PathLike[str]) -> PackedRecords:
    """Read a bundle with `images` uint8 (N, H, W), `masks_packed` uint8 (N, M, H, ceil(W / 8)) and `patient` (N,).

    Images come as float32 in [0, 1], one channel; masks as 0/1; ids count from 0. Raises
    FileNotFoundError, and ValueError for a file that is truncated, is no npz, lacks a member or whose members do not
    fit together.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"path: no file {str(path)!r}")
    try:
        with np.load(file, allow_pickle=False) as bundle:
            images, masks, patients = bundle["images"], bundle["masks_packed"], bundle["patient"]
    except KeyError as error:
        raise ValueError(f"path: {file} has no member {error}; expected images, masks_packed and patient") from None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise ValueError(f"path: {file} is truncated or not an npz bundle ({error}); copy it again") from None
    count, height, width = images.shape if images.ndim == 3 else (-1, -1, -1)
    packed = (height, -(-width // 8))
    fits = masks.ndim == 4 and len(masks) == len(patients) == count and masks.shape[2:] == packed
    if not fits or images.dtype != np.uint8 or masks.dtype != np.uint8:
        raise ValueError(
            f"path: {file} holds images {images.dtype}{images.shape} and masks_packed {masks.dtype}{masks.shape}; "
            "expected uint8 (N, H, W) and uint8 (N, M, H, ceil(W / 8))"
        )
    return PackedRecords(images, masks, patients, np.arange(count))
