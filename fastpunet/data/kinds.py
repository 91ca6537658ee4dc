"""The kinds of data set: how each is recognised, and how it is read. A new entry in the table adds a kind."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastpunet.data import camvid, cityscapes, folder, lidc
from fastpunet.data.npz import member_names
from fastpunet.data.reading import reading
from fastpunet.data.record import Records
from fastpunet.intensity import Intensity

PICKLES = (".pickle", ".pkl")


@dataclass(frozen=True)
class Wanted:
    """The form in which records are wanted (see `sources.read`). Each kind heeds what concerns it."""

    binary: bool = True
    resize: tuple[int, int] | None = None
    intensity: Intensity | None = None
    whole: bool = False
    unmarked: bool = False
    orientation: str | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of data set.

    looks  what lies at its path, for messages
    is_at  whether a path is of this kind, by the files there and without reading a pixel; ValueError for damaged files
    read   the records there; raises ValueError or FileNotFoundError for files that are missing or broken
    """

    looks: str
    is_at: Callable[[Path], bool]
    read: Callable[[Path, Wanted], Records]


def _is_lidc(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() in PICKLES or _is_bundle_with(path, "masks_packed")
    return _has_images(path) and (path / "gt").is_dir()


def _read_lidc(path: Path, wanted: Wanted) -> Records:
    if path.is_dir():
        return lidc.read_crops(path, intensity=wanted.intensity)
    read_file = lidc.read_pickle if path.suffix.lower() in PICKLES else lidc.read_npz
    return read_file(path, intensity=wanted.intensity)


def _is_camvid(path: Path) -> bool:
    return path.is_file() and _is_bundle_with(path, "labels")


def _read_camvid(path: Path, wanted: Wanted) -> Records:
    return camvid.read_npz(path, intensity=wanted.intensity)


def _is_cityscapes(path: Path) -> bool:
    """Whether a path is ROOT/<split>, which need not be a folder itself."""
    return not path.is_file() and (path.parent / "leftImg8bit" / path.name).is_dir()


def _read_cityscapes(path: Path, wanted: Wanted) -> Records:
    return cityscapes.read(path.parent, path.name, size=wanted.resize, intensity=wanted.intensity)


def _is_folder(path: Path) -> bool:
    return _has_images(path) and ((path / "masks").is_dir() or not (path / "gt").is_dir())


def _read_folder(path: Path, wanted: Wanted) -> Records:
    return folder.read(
        path,
        binary=wanted.binary,
        intensity=wanted.intensity,
        whole=wanted.whole,
        unmarked=wanted.unmarked,
        orientation=wanted.orientation,
    )


def _has_images(path: Path) -> bool:
    return (path / "images").is_dir() and not _is_cityscapes(path)


def _is_bundle_with(path: Path, member: str) -> bool:
    if path.suffix.lower() != ".npz":
        return False
    with reading(path, "an npz bundle", "data"), zipfile.ZipFile(path) as bundle:
        return member in member_names(bundle)


KINDS = {
    "lidc": Kind(
        "a bundle (.npz with images and masks_packed), a pickle (.pickle), or a folder with images/ and gt/",
        _is_lidc,
        _read_lidc,
    ),
    "camvid": Kind("a bundle (.npz with images and labels)", _is_camvid, _read_camvid),
    "cityscapes": Kind(
        "ROOT/train or ROOT/val of a ROOT with leftImg8bit/ and gtFine/", _is_cityscapes, _read_cityscapes
    ),
    "folder": Kind("a folder with images/ and masks/<rater>/", _is_folder, _read_folder),
}
