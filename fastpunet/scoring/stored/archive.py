"""An archive of `fastpunet sample`, whose images are found by their names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch

from fastpunet.archive import StoredHypotheses, open_samples
from fastpunet.archive.layout import known
from fastpunet.data import Record
from fastpunet.files import sha256
from fastpunet.masks import PackedMasks
from fastpunet.scoring.references import title
from fastpunet.scoring.stored.names import stored_names


class StoredArchive:
    """Hypotheses in an archive. Of each image only those that are scored are read.

    data         the data set that they belong to, see `stored_names`
    num_classes  what the data set is read for; it must be the archive's

    Raises ValueError for another number of classes, for an unfinished archive, and for hypotheses of an image that was
    another file, of the same name.
    """

    def __init__(self, path: Path, data: Path, num_classes: int, device: torch.device) -> None:
        self._samples, self._data = open_samples(path), data
        self._digest = lru_cache(maxsize=1)(sha256)  # one file may hold all images
        stored = self._samples.num_classes
        if max(2, num_classes) != max(2, stored):
            raise ValueError(
                f"hypotheses: {path} holds masks of {max(2, stored)} classes; say so with --num-classes {stored}"
            )
        self.num_classes, self.device, self.name = stored, device, path.name
        self.max_hypotheses: int | None = known(path, self._samples.about["request"], "n", int)

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        """The first n hypotheses of each record."""
        parts = [self._masks(record, n) for record in records]
        return PackedMasks(torch.cat([part.words for part in parts]), parts[0].size).to(self.device)

    def _masks(self, record: Record, n: int) -> PackedMasks:
        size = record.image.shape[1:]
        stored = self._find(record)
        masks = stored[:n]
        if record.slice is not None and len(stored.size) == len(size) + 1 and record.slice < stored.size[0]:
            labels = masks.unpack()[:, :, record.slice]
            masks = PackedMasks.pack(labels.contiguous(), None if self.num_classes == 1 else self.num_classes)
        if masks.size != size:
            raise ValueError(
                f"hypotheses: {stored.path} holds {masks.size}, expected {size}, the size of {title(record)}"
            )
        return masks

    def _check_drawn_from(self, stored: StoredHypotheses, record: Record) -> None:
        """Raise ValueError if the data set has another file under the name of the one that was drawn from."""
        files = stored.about.get("files")
        named = [Path(file).name for file in files] if isinstance(files, list) else []
        for file in (self._data, self._data / record.name, self._data / "images" / record.name):
            if named == [file.name] and file.is_file() and self._digest(file) != stored.about.get("sha256"):
                raise ValueError(
                    f"hypotheses: {file} has changed since those in {stored.path} were drawn; draw them again"
                )

    def _find(self, record: Record) -> StoredHypotheses:
        names = stored_names(record, self._data)
        for name in names:
            if name in self._samples:
                stored = self._samples[name]
                self._check_drawn_from(stored, record)
                return stored
        raise FileNotFoundError(
            f"hypotheses: {self._samples.path} has none of {title(record)}; expected {' or '.join(names[:3])}"
        )
