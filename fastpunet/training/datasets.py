"""Reads the records that a config names for training and for validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastpunet.data import Record, Records
from fastpunet.data.graders import OneGrader
from fastpunet.data.lazy import WrappedRecords, intensity_of, patients_of, spacing_of
from fastpunet.data.sources import read
from fastpunet.data.splits import Subset, graded, split_by_patient
from fastpunet.data.streets import find_streets
from fastpunet.data.synthetic_sets import SYNTHETIC_SETS
from fastpunet.data.uniform import check_labels, check_marked, check_shapes
from fastpunet.intensity import Intensity
from fastpunet.metrics import Convention, default_convention
from fastpunet.training.batches import crop
from fastpunet.training.config import TrainingConfig
from fastpunet.training.rated import check_raters

_VALIDATION_SEED = 1 << 32  # seed of synthetic images that no run trains on


class DataSets(NamedTuple):
    """Records for training, and, if there are any, others that select the best weights, and others that score these."""

    training: Records
    validation: Records | None
    test: Records | None = None


def read_data(config: TrainingConfig) -> DataSets:
    """Read a config's records.

    Raises ValueError or FileNotFoundError, from the readers, for files that are missing or broken.
    """
    if config.kind in SYNTHETIC_SETS:
        make = SYNTHETIC_SETS[config.kind]
        validation: Records = make(config.validation_images, _VALIDATION_SEED, config.size)
        training: Records = make(config.count, config.seed, config.size)
        return DataSets(_one_grader(training, config), validation)
    if not config.data:
        raise ValueError(f"data: missing; pass the folder that holds {config.file or 'the images'} with --data")
    given = Intensity.parse(config.intensity) if config.intensity else None
    training = _read(config, config.file, given)
    check_marked(training)
    rule = intensity_of(training)
    test = _read(config, config.test, rule) if config.test else None
    if config.validation:
        held_out: Records | None = _read(config, config.validation, rule)
    elif config.validation_share:
        shares = (1 - config.validation_share, config.validation_share)
        patients = [name or f"image {place}, of nobody known" for place, name in enumerate(patients_of(training))]
        kept, left_out = split_by_patient(patients, shares, config.seed)
        training, held_out = Subset(training, kept), Subset(training, left_out)
    else:
        held_out = None
    if held_out is not None:
        held_out = _cropped(evenly_spaced(held_out, config.validation_images), config)
    if config.raters:
        check_raters(training, held_out, config.raters)
    return DataSets(_one_grader(training, config), held_out, None if test is None else _cropped(test, config))


class HeldOut(NamedTuple):
    """Records that a run's model is scored on, those that it was trained on, in the same form, and the former in
    words."""

    records: Records
    training: Records
    what: str


def held_out(config: TrainingConfig) -> HeldOut | None:
    """The test part of a config's data or, without one, what it validates on; None if it has neither."""
    data = read_data(config)
    records = data.validation if data.test is None else data.test
    if records is None:
        return None
    if data.test is not None:
        what = f"the test part, {config.test}"
    else:
        own = f"the validation part, {config.validation}" if config.validation else "the validation part"
        what = f"{own}, by which the weights were chosen"
    size = "" if config.crop is None else f", the central {' x '.join(map(str, config.crop))} pixels of each image"
    return HeldOut(records, _cropped(data.training, config), what + size)


def training_spacing(config: TrainingConfig, records: Records, dims: int) -> tuple[float, ...] | None:
    """The mm between pixels that the files say and share, or else those of the config; None if neither says.

    Raises ValueError if files and config contradict each other.
    """
    found, said = spacing_of(records), config.spacing
    if said is not None and len(said) != dims:
        raise ValueError(f"spacing: got {list(said)}, expected {dims} numbers, one for each axis of the images")
    if found is not None and said is not None and not np.allclose(found, said, rtol=0.01, atol=0):
        raise ValueError(f"spacing: got {list(said)} mm, but the files say {list(found)}; leave it out, or correct one")
    return said if found is None else found


def validation_convention(config: TrainingConfig, num_classes: int) -> Convention:
    """The convention by which distances between label maps of this data set are computed."""
    if config.class_flips:
        flips = find_streets(config.kind).flips
        twins = range(num_classes - len(flips), num_classes)
        return Convention("class flips", num_classes, (*flips, *twins), float("nan"))
    return default_convention(num_classes)


def training_data(data: str, file: str) -> Path:
    """Where the images to train on are: ROOT/train of Cityscapes, unless `file` says otherwise."""
    place = Path(data)
    return place / (file or ("train" if (place / "leftImg8bit" / "train").is_dir() else ""))


class Cropped(WrappedRecords):
    """The central part (H, W) or (D, H, W) of every record."""

    def __init__(self, records: Records, size: tuple[int, ...]) -> None:
        super().__init__(records)
        self._size = size

    def _record(self, place: int) -> Record:
        record = self._records[place]
        image, masks = crop((record.image, record.masks), self._size)
        return replace(record, image=image, masks=masks)


def evenly_spaced(records: Records, count: int) -> Records:
    """At most `count` of the records, evenly spaced."""
    if len(records) <= count:
        return records
    return Subset(records, [i * len(records) // count for i in range(count)])


def _cropped(records: Records, config: TrainingConfig) -> Records:
    return records if config.crop is None else Cropped(records, config.crop)


def _one_grader(records: Records, config: TrainingConfig) -> Records:
    return OneGrader(records, config.seed) if config.uni_modal else records


def _read(config: TrainingConfig, name: str, intensity: Intensity | None) -> Records:
    num_classes = config.model.get("num_classes", 1)
    found = read(
        config.kind,
        training_data(config.data, name),
        binary=num_classes in (1, 2),
        resize=config.resize,
        intensity=intensity,
        whole=config.model.get("dims", 2) == 3,
        orientation=config.orientation or None,
    )
    records = graded(found)
    check_shapes(records, crop=config.crop)
    if config.class_flips:
        return find_streets(config.kind).flipped(records)
    if type(num_classes) is int:
        check_labels(records, num_classes)
    return records
