"""Reads any data set by its kind and path, as configs and command lines give them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from fastpunet.arguments import check_choice
from fastpunet.data import camvid, cityscapes, folder, lidc
from fastpunet.data.npz import member_names
from fastpunet.data.reading import reading
from fastpunet.data.record import Records
from fastpunet.intensity import Intensity

KINDS = ("lidc", "camvid", "cityscapes", "folder")
PICKLES = (".pickle", ".pkl")


def read(
    kind: str | None,
    path: str | os.PathLike[str],
    *,
    binary: bool = True,
    resize: tuple[int, int] | None = None,
    intensity: Intensity | None = None,
    whole: bool = False,
    unmarked: bool = False,
    orientation: str | None = None,
) -> Records:
    """Read the records of a bundle, pickle or folder.

    kind        the kind of data set at `path`; None: the kind that `recognise` finds
        lidc        a bundle (.npz), the PyTorch port's pickle, or one part of a lidc_crops tree
        camvid      a bundle (.npz)
        cityscapes  ROOT/train or ROOT/val, ROOT with leftImg8bit and gtFine; resize to (H, W)
        folder      images/ and masks/<rater>/
    binary      folder: masks hold two values, background and foreground, as for models of one or two classes;
                otherwise class indices
    intensity   how stored grey values become floats, such as the rule that a model was trained with; None: as each
                reader does by default
    whole       folder: a NIfTI volume is one record of three dimensions, instead of one record for each slice
    unmarked    folder: slices of NIfTI volumes in which nobody marked anything are records too
    orientation  folder: which way the axes of NIfTI volumes are brought to lie in the body, such as RAS

    Raises ValueError or FileNotFoundError, from the readers, for files that are missing or broken. If the files are of
    another kind, the message says which.
    """
    path = Path(path)
    if kind is not None:
        check_choice("kind", kind, KINDS)
    try:
        return _read(kind or recognise(path), path, binary, resize, intensity, whole, unmarked, orientation)
    except (FileNotFoundError, ValueError) as error:
        found = _kinds(path)
        if kind is None or kind in found or len(found) != 1:
            raise
        suggested = f"{error}; it looks like data of the kind {found[0]}: --kind {found[0]}"
        raise (FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError)(suggested) from None


def _read(
    kind: str,
    path: Path,
    binary: bool,
    resize: tuple[int, int] | None,
    intensity: Intensity | None,
    whole: bool,
    unmarked: bool,
    orientation: str | None,
) -> Records:
    if kind == "lidc":
        if path.is_dir():
            return lidc.read_crops(path, intensity=intensity)
        read_file = lidc.read_pickle if path.suffix.lower() in PICKLES else lidc.read_npz
        return read_file(path, intensity=intensity)
    if kind == "camvid":
        return camvid.read_npz(path, intensity=intensity)
    if kind == "cityscapes":
        return cityscapes.read(path.parent, path.name, size=resize, intensity=intensity)
    return folder.read(
        path, binary=binary, intensity=intensity, whole=whole, unmarked=unmarked, orientation=orientation
    )


def recognise(path: str | os.PathLike[str]) -> str:
    """Recognise the kind of data set at a path by the files there, without reading a pixel.

    Raises FileNotFoundError for a missing path, and ValueError, with a description of each kind, if it is none of
    `KINDS` or could be two of them.
    """
    place = Path(path)
    if not place.exists() and not _is_cityscapes(place):
        raise FileNotFoundError(f"data: no file or folder {str(place)!r}")
    found = _kinds(place)
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"data: {place} could be {' or '.join(found)}; say which with --kind")
    parts = [entry.name for entry in sorted(place.glob("*")) if _kinds(entry)]
    if parts:
        raise ValueError(f"data: {place} holds {', '.join(parts[:8])}, expected one of them; add its name to the path")
    raise ValueError(
        f"data: {place} is no data set that fastpunet knows; expected a bundle (.npz with images and masks_packed, or "
        "images and labels), a pickle (.pickle), a folder with images/ and gt/ (lidc), one with images/ and "
        "masks/<rater>/ (folder), or ROOT/train or ROOT/val of a ROOT with leftImg8bit/ and gtFine/ (cityscapes)"
    )


def _kinds(path: Path) -> list[str]:
    """The kinds of data set that the path may be."""
    if not path.is_file():
        return _kinds_of_folder(path)
    if path.suffix.lower() in PICKLES:
        return ["lidc"]
    if path.suffix.lower() != ".npz":
        return []
    with reading(path, "an npz bundle", "data"), zipfile.ZipFile(path) as bundle:
        members = member_names(bundle)
    return [kind for kind, member in (("lidc", "masks_packed"), ("camvid", "labels")) if member in members]


def _kinds_of_folder(path: Path) -> list[str]:
    if _is_cityscapes(path):
        return ["cityscapes"]
    if not (path / "images").is_dir():
        return []
    crops, own = (path / "gt").is_dir(), (path / "masks").is_dir()
    return [*(["lidc"] if crops else []), *(["folder"] if own or not crops else [])]


def _is_cityscapes(path: Path) -> bool:
    """Whether a path is ROOT/<split>, which need not be a folder itself."""
    return (path.parent / "leftImg8bit" / path.name).is_dir()
