"""A config to start from for somebody's data: what can be read off the data is, the rest are sensible values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fastpunet.data import Records
from fastpunet.data.lazy import header_of, intensity_of, patients_of
from fastpunet.data.record import IGNORE
from fastpunet.data.sources import read, recognise
from fastpunet.data.splits import graded
from fastpunet.files import check_folder, write_text
from fastpunet.training.config import TrainingConfig
from fastpunet.training.datasets import training_data

_LOOKED_AT = 64  # records whose masks are read
_WIDTHS = (32, 64, 128, 192)  # channels of the scales
_COARSEST = 4  # pixels a side at the coarsest scale, at least
_PATIENTS = 5  # of whom one can be spared for validation
_STREETS = (256, 512)  # what street scenes are resized to


def write_starting_config(
    data: str | os.PathLike[str], path: str | os.PathLike[str], given: Mapping[str, Any] | None = None
) -> Path:
    """Write a config for the data set at `data` to the file `path`, and return that path.

    The kind, the channels, the classes, the sizes, the intensity rule and the number of graders are those of the data;
    of a data set with parts train and val the one is for training and the other for validation. given: keys and values
    that are wanted otherwise. Raises ValueError and FileNotFoundError for data of no use and values out of range, and
    ValueError if there is a file already or none can be written.
    """
    file = Path(path)
    if file.exists():
        raise ValueError(f"output: {file} exists already; name another folder, or delete it")
    check_folder("output", file.parent)
    wanted = dict(given or {})
    start = _of_data(os.fspath(data), wanted)
    model = {**start.pop("model"), **wanted.pop("model", {})}
    values = {**start, **wanted, "model": model}
    TrainingConfig(**values)  # for its errors
    file.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None)
    write_text(file, f"# Written by fastpunet train --init. All keys: fastpunet train --help\n{text}")
    return file


def _of_data(data: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Keys and values for the data set at a path."""
    parts = _parts(Path(data))
    place = training_data(data, parts.get("file", ""))
    kind = given.get("kind") or recognise(place)
    resize = {"resize": list(_STREETS)} if kind == "cityscapes" else {}
    records = graded(read(kind, place, binary=False, resize=_STREETS if resize else None))
    headers = [header_of(records, index) for index in range(len(records))]
    sizes = {header.shape[1:] for header in headers}
    least = [min(sides) for sides in zip(*sizes, strict=True)]
    crop = {"crop": least, "crop_anywhere": True} if len(sizes) > 1 else {}
    share = {"validation_share": 0.2} if not parts and len(set(patients_of(records))) >= _PATIENTS else {}
    rule = intensity_of(records)
    scales = sum(min(least) >= _COARSEST << scale for scale in range(len(_WIDTHS)))
    return {
        "kind": kind,
        "data": data,
        **parts,
        **share,
        **resize,
        **crop,
        **({} if rule is None else {"intensity": str(rule)}),
        "model": {
            "in_channels": headers[0].shape[0],
            "num_classes": given.get("model", {}).get("num_classes") or _classes(records),
            "channels": list(_WIDTHS[: max(1, scales)]),
        },
        "graders_per_image": min(4, max(header.masks for header in headers)),
        "batch_size": 16,
        "steps": 5000,
        "validate_every": 500,
    }


def _parts(root: Path) -> dict[str, str]:
    """The parts to train on and to validate on, of a data set that is divided so."""
    folders = [root / "leftImg8bit" / part for part in ("train", "val")]
    if not all(folder.is_dir() for folder in folders):
        folders = [root / part for part in ("train", "val")]
    return {"file": "train", "validation": "val"} if all(folder.is_dir() for folder in folders) else {}


def _classes(records: Records) -> int:
    """1 for background and foreground, else the number of classes, by the labels of 64 records.

    Raises ValueError where these mark nothing.
    """
    places = np.unique(np.linspace(0, len(records) - 1, min(len(records), _LOOKED_AT)).astype(int))
    labels = {int(label) for place in places for label in np.unique(records[int(place)].masks)}
    if labels <= {0}:
        raise ValueError(
            f"data: the masks of {len(places)} images mark nothing, so the number of classes is unknown; check the "
            "masks, or give it as model.num_classes=1"
        )
    highest = max(labels - {IGNORE}, default=0)
    return 1 if highest <= 1 else highest + 1
