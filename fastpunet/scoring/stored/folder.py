"""A folder with the hypotheses of every image, found by the image's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fastpunet.data import Record
from fastpunet.data.inputs.names import stem
from fastpunet.masks import PackedMasks
from fastpunet.scoring.references import title
from fastpunet.scoring.stored import files
from fastpunet.scoring.stored.names import stored_names
from fastpunet.scoring.stored.packing import pack


class StoredFolder:
    """Hypotheses in a folder that has a file, or a folder of PNG files, for each image.

    path        what `fastpunet sample` wrote, or files of other programs: NAME.npz, NAME.npy, NAME.nii.gz (H, W, D, n),
                NAME.tif with a page for each hypothesis, or NAME/*.png
    data        the data set's file or folder: its name and a record's number are another name of the record's image
    max_hypotheses  the number of hypotheses of the image that has the fewest

    NAME is the image's file name without its suffix, or, of a bundle without names, the bundle's name and the record's
    number, as `fastpunet sample` names its images. Slices of a volume are taken from the hypotheses of the volume, or
    are named NAME_slice007. Raises ValueError or FileNotFoundError for a folder without hypotheses.
    """

    def __init__(self, path: Path, data: Path, num_classes: int, device: torch.device) -> None:
        self._entries = {
            stem(entry).casefold(): entry
            for entry in sorted(path.iterdir())
            if not entry.name.startswith(".") and files.is_stored(entry)
        }
        if not self._entries:
            raise ValueError(f"hypotheses: {path} holds no folders and no files of {', '.join(files.READERS)}")
        self._path, self._data = path, data
        self.num_classes, self.device, self.name = num_classes, device, path.name
        self.max_hypotheses: int | None = min(map(files.count, self._entries.values()))

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        """The first n stored hypotheses of each record."""
        labels = [self._labels(record)[:n] for record in records]
        return pack(np.stack(labels), [title(record) for record in records], self.num_classes, self.device)

    def _labels(self, record: Record) -> NDArray[np.uint8]:
        size = record.image.shape[1:]
        names = stored_names(record, self._data)
        for name in names:
            entry = self._entries.get(name.casefold())
            if entry is None:
                continue
            labels = self._read(entry)
            if record.slice is not None and labels.ndim == len(size) + 2 and record.slice < labels.shape[1]:
                labels = labels[:, record.slice]
            if labels.shape[1:] != size:
                raise ValueError(
                    f"hypotheses: {entry} holds {labels.shape[1:]}, expected {size}, the size of {title(record)}"
                )
            return labels
        raise FileNotFoundError(
            f"hypotheses: {self._path} has none of {title(record)}; expected {' or '.join(names)} with a "
            f"suffix, as in {next(iter(self._entries.values())).name}"
        )

    def _read(self, entry: Path) -> NDArray[np.uint8]:
        return files.read(entry, self.num_classes <= 2)
