"""What a run's model keeps of its making, for whoever reads its card."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

import torch

from fastpunet.data import Records
from fastpunet.data.lazy import patients_of
from fastpunet.data.synthetic_sets import SYNTHETIC_SETS
from fastpunet.models.training_images import MOST, TrainingImages
from fastpunet.training.config import TrainingConfig
from fastpunet.training.datasets import DataSets, evenly_spaced


def origin(config: TrainingConfig, data: DataSets) -> dict[str, str]:
    """The entries of `Method.about` that are known when training ends; no path of this machine is among them."""
    return {
        "data": f"It was trained on {_counted(data.training, config)}, {_named(config)}.",
        "split": _split(config, data),
        "config": replace(config, data="", init_from=Path(config.init_from).name).to_yaml(),
        "versions": f"fastpunet {metadata.version('fastpunet')}, torch {torch.__version__}",
    }


def known_images(records: Records) -> TrainingImages:
    """The images that a model was trained on; if there are many, of evenly spaced ones."""
    some = evenly_spaced(records, MOST)
    return TrainingImages.of((record.image for record in some), complete=len(some) == len(records))


def _named(config: TrainingConfig) -> str:
    if config.kind in SYNTHETIC_SETS:
        return f"synthetic, of the kind {config.kind}"
    return f"of a data set of the kind {config.kind}" + (f", in {config.file}" if config.file else "")


def _split(config: TrainingConfig, data: DataSets) -> str:
    if data.validation is None:
        return "No images were held out to choose the weights by: they are those of the last step."
    if config.kind in SYNTHETIC_SETS:
        how = "made with another seed"
    elif config.validation:
        how = f"in {config.validation}"
    else:
        how = f"a share of {config.validation_share:g} of the patients, chosen by the seed and left out of training"
    chosen = f"The weights were chosen by the energy distance on {_counted(data.validation, config)}, {how}."
    return chosen + (f" {_counted(data.test, config)} in {config.test} were kept for the scores." if data.test else "")


def _counted(records: Records, config: TrainingConfig) -> str:
    known = () if config.kind in SYNTHETIC_SETS else patients_of(records)
    patients = len({patient for patient in known if patient})
    images = f"{len(records):,} image{'s' if len(records) != 1 else ''}"
    return images + (f" of {patients:,} patient{'s' if patients != 1 else ''}" if patients else "")
