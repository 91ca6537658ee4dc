"""One array with the hypotheses of all images, in the order of the data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpunet.data import Record
from fastpunet.data.reading import one_line
from fastpunet.masks import PackedMasks
from fastpunet.scoring.references import title
from fastpunet.scoring.stored.packing import pack


class StoredStack:
    """Hypotheses in an array (N, n, *size) of class indices, of NumPy or Zarr, whose row i belongs to record i.

    Of Zarr and of .npy files only the rows that are scored are read. Raises ValueError for another shape or dtype.
    """

    def __init__(self, array: Any, path: Path, num_classes: int, device: torch.device) -> None:
        if array.ndim not in (4, 5) or array.dtype.kind not in "bui" or 0 in array.shape:
            raise ValueError(
                f"hypotheses: {path} holds {array.dtype} {tuple(array.shape)}, expected class indices (N, n, H, W) or "
                "(N, n, D, H, W)"
            )
        self._array, self._path = array, path
        self.num_classes, self.device, self.name = num_classes, device, path.name
        self.max_hypotheses: int | None = int(array.shape[1])

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        """The first n hypotheses of each record."""
        rows = []
        for record in records:
            if record.id >= self._array.shape[0] or tuple(self._array.shape[2:]) != record.image.shape[1:]:
                raise ValueError(
                    f"hypotheses: {self._path} holds {tuple(self._array.shape)}, and {title(record)} is image "
                    f"{record.id} of size {record.image.shape[1:]}; expected a row for each image of the data set"
                )
            row = self._row(record.id, n)
            if row.min() < 0 or row.max() > 255:
                raise ValueError(f"hypotheses: {self._path} holds values {row.min()} .. {row.max()}, expected 0 .. 255")
            rows.append(row.astype(np.uint8))
        return pack(np.stack(rows), [title(record) for record in records], self.num_classes, self.device)

    def _row(self, place: int, n: int) -> NDArray[Any]:
        try:
            return np.asarray(self._array[place, :n])
        except Exception as error:  # a damaged chunk may fail in any way
            raise ValueError(f"hypotheses: {self._path} is damaged ({one_line(error)}); write it again") from None
