"""Finds the images in files, folders and patterns, whatever formats they have."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fastpunet.data.dicom.files import is_image
from fastpunet.data.inputs import arrays, dicom_images, nifti_images, pictures
from fastpunet.data.inputs.found import Reader, each, names_of, noting
from fastpunet.data.inputs.input import Input
from fastpunet.data.inputs.names import distinct, ending
from fastpunet.data.inputs.paths import Candidate, candidates
from fastpunet.data.inputs.recognising import FORMATS, recognise

READERS: dict[str, Reader] = {
    "png": each(partial(pictures.read, kind="png")),
    "jpeg": each(partial(pictures.read, kind="jpeg")),
    "tiff": each(partial(pictures.read, kind="tiff")),
    "nifti": each(nifti_images.read),
    "dicom": dicom_images.read,
    "npz": each(arrays.read),
}
_NAMED = 3


@dataclass(frozen=True)
class Findings:
    """What is at some paths."""

    inputs: list[Input]
    refused: list[str]  # why files or series cannot be read, a line for each
    ignored: list[Path]  # files in folders that are no images of a format that we read


def find_inputs(paths: Sequence[str | os.PathLike[str]]) -> list[Input]:
    """Find the images at the paths, in their order; no pixels are read.

    paths: files, folders and patterns such as "scans/**/*.nii.gz". Of a folder its own PNG, JPEG, TIFF, NIfTI, npz and
    npy files are taken, DICOM files also from the folders within it, and of a data set with a folder images/ all files
    in that. Formats are recognised by content. DICOM files with a position become one volume for each series; others
    are images of two dimensions each. Other files in folders, and DICOM objects without an image, are passed over.

    Raises FileNotFoundError for a path that matches nothing and if there is no image at all, and ValueError, which
    names some files, if files cannot be read. `fastpunet check` lists all of these.
    """
    found = look(paths)
    if found.refused:
        more = len(found.refused) - _NAMED
        rest = f"; and {more} more, see fastpunet check" if more > 0 else ""
        raise ValueError("; ".join(found.refused[:_NAMED]) + rest)
    if not found.inputs:
        raise FileNotFoundError(no_image_in(paths))
    return found.inputs


def no_image_in(paths: Sequence[str | os.PathLike[str]]) -> str:
    """The message for paths that exist, but hold no image."""
    return f"input: no image in {', '.join(map(str, paths)) or 'nothing'}; expected {', '.join(FORMATS)}"


def look(paths: Sequence[str | os.PathLike[str]], passed_over: Callable[[Path], bool] | None = None) -> Findings:
    """Like `find_inputs`, but files that cannot be read are listed. Raises FileNotFoundError for paths of nothing.

    passed_over: whether a file is to be ignored, though it may be an image.
    """
    if isinstance(paths, str | os.PathLike):
        raise TypeError(f"paths: got {paths!r}, expected a list of paths; put it into [ ]")
    refused: list[str] = []
    ignored: list[Path] = []
    files: dict[str, list[Path]] = defaultdict(list)
    order: dict[Path, int] = {}
    for candidate in candidates(paths):
        order[candidate.path] = len(order)
        with noting(refused, candidate.path):
            kind = None if passed_over and passed_over(candidate.path) else _kind(candidate)
            if kind is None:
                ignored.append(candidate.path)
            else:
                files[kind].append(candidate.path)
    found = [entry for kind, paths_of_kind in files.items() for entry in READERS[kind](paths_of_kind, refused)]
    known = {*ignored, *files["dicom"], *(path for entry in found for path in entry.image.files)}
    places = [_Place(min(map(order.__getitem__, entry.image.files)), entry.names, entry.image) for entry in found]
    places += [_Place(order[path], names_of(path), None) for path in order if path not in known]
    places.sort(key=lambda place: place.order)
    paths_in_order = list(order)
    names = distinct([place.names for place in places], [ending(paths_in_order[place.order]) for place in places])
    named = [
        replace(place.image, name=name) for name, place in zip(names, places, strict=True) if place.image is not None
    ]
    return Findings(named, refused, ignored)


class _Place(NamedTuple):
    """What is at a path of some order: an image, or None, a file that cannot be read today but keeps its name."""

    order: int
    names: tuple[str, ...]
    image: Input | None


def _kind(candidate: Candidate) -> str | None:
    """The format of a file; None if it is to be passed over. Raises ValueError for a named file that is no image."""
    path, asked, nested = candidate
    kind = recognise(path)
    if asked and kind is None:
        raise ValueError(f"file: {path} has an unknown format, expected {', '.join(FORMATS)}; convert it")
    if nested and kind != "dicom":
        return None
    return None if kind == "dicom" and not asked and not is_image(path) else kind
