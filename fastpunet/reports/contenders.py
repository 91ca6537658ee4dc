"""What a comparison compares: checkpoints, and hypotheses that others have stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from fastpunet.arguments import check_num_classes
from fastpunet.data import Records
from fastpunet.models import checkpoint
from fastpunet.models.training_images import TrainingImages
from fastpunet.reports.records import DataSet
from fastpunet.scoring.sources import ModelSource, Source
from fastpunet.scoring.stored import open_stored

_ARRAYS = (".npz", ".npy", ".zarr")


@dataclass(frozen=True)
class Contender:
    """A source of hypotheses, and the records in the form that it takes.

    training_images: by which those of a model's training are recognised; None if they are unknown.
    """

    source: Source
    records: Records
    training_images: TrainingImages | None = None


class Contenders:
    """Opens contenders of one data set by their paths.

    num_classes: of stored hypotheses, 1 or 2 for binary masks. seed, precision: of models, see `fastpunet.sample`.
    """

    def __init__(
        self, data_set: DataSet, device: torch.device, *, seed: int, precision: str, num_classes: int = 1
    ) -> None:
        check_num_classes(num_classes)
        self._data_set, self._device, self._num_classes = data_set, device, num_classes
        self._seed, self._precision = seed, precision

    def open(self, path: str) -> Contender:
        """A checkpoint, as `fastpunet.load` takes it, or stored hypotheses, as `scoring.stored.open_stored` does."""
        if _holds_hypotheses(path):
            source = open_stored(path, self._data_set.path, num_classes=self._num_classes, device=self._device)
            return Contender(source, self._data_set.records_in(self._num_classes))
        model = checkpoint.load(path).to(self._device)
        records = self._data_set.records_for(model)
        source = ModelSource(model, seed=self._seed, precision=self._precision)
        return Contender(source, records, model.training_images)


def _holds_hypotheses(path: str) -> bool:
    place = Path(path)
    if path in checkpoint.shipped() or place.suffix.lower() in _ARRAYS:
        return path not in checkpoint.shipped()
    return place.is_dir() and not any((place / name).is_file() for name in checkpoint.RUN_FILES)
