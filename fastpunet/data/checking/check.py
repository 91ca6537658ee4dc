"""Checks files, folders and data sets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fastpunet.data import sources
from fastpunet.data.checking.for_model import compare_with_model
from fastpunet.data.checking.images import describe_images, find_duplicates
from fastpunet.data.checking.leaks import find_shared_patients
from fastpunet.data.checking.masks import describe_masks
from fastpunet.data.checking.report import Report
from fastpunet.data.checking.values import describe_values, look_at
from fastpunet.data.inputs.finding import look
from fastpunet.data.inputs.recognising import recognise
from fastpunet.data.parts import find_parts
from fastpunet.models.method import Method


def check(paths: Sequence[str | os.PathLike[str]], model: Method | None = None) -> Report:
    """What files, folders, patterns or data sets hold, and what about it is suspicious.

    paths  as `inputs.find_inputs` takes them; of a path that is a data set with masks (see `data.sources`), the masks
           are looked at too; several are parts of one, which should share no image and no patient. A folder with parts
           such as train/ and test/ stands for them
    model  with one, what it expects of images is compared with what they are

    Headers are read of all images, pixels and masks of 64 at most, evenly spaced. Raises FileNotFoundError for paths of
    nothing.
    """
    report = Report()
    paths = [part for path in paths for part in _parts(path)]
    found = look([path for path in paths if not _is_only_a_data_set(path)])
    describe_images(report, found)
    find_duplicates(report, found.inputs)
    looked = look_at(report, found.inputs)
    describe_values(report, looked, len(found.inputs))
    kinds = {os.fspath(path): kind for path in paths if (kind := _kind(path))}
    parts = {}
    for path, kind in kinds.items():
        own = Report()
        records = describe_masks(own, Path(path), kind)
        report.add(own, f"{Path(path).name}: " if len(kinds) > 1 else "")
        if records is not None:
            parts[Path(path).name] = records
    find_shared_patients(report, parts)
    if model is not None:
        compare_with_model(report, found.inputs, looked, model)
    if not report.facts:
        report.problem(
            "there is no image that can be read; name files or folders of them, or a data set with images/ and "
            "masks/<rater>/"
        )
    return report


def _parts(path: str | os.PathLike[str]) -> list[str | os.PathLike[str]]:
    """The folders of the parts of a data set; the path itself if it has none, or holds images beside them."""
    folder = Path(path)
    if not folder.is_dir() or _kind(path):
        return [path]
    parts = [folder / name for name in find_parts(folder) if name and (folder / name).is_dir()]
    return [path] if not parts or look([path]).inputs else [*parts]


def _kind(path: str | os.PathLike[str]) -> str | None:
    """The kind of data set at a path; None if it is none."""
    try:
        return sources.recognise(path)
    except (ValueError, OSError):
        return None


def _is_only_a_data_set(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the file of a data set, such as a pickle, and of none of the formats of inputs."""
    place = Path(path)
    try:
        return place.is_file() and recognise(place) is None and _kind(path) is not None
    except OSError:
        return False
