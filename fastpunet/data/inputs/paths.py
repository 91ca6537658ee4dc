"""Which files are meant by paths, folders and patterns as people write them on a command line."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fastpunet.data.inputs.recognising import recognise
from fastpunet.data.leftovers import is_leftover


class Candidate(NamedTuple):
    """A file that may be an image."""

    path: Path
    asked: bool  # whether somebody named it, or a pattern matched it; else it lies in a folder that somebody named
    nested: bool  # whether it lies in a folder within that folder, where only DICOM files are looked for


def candidates(paths: Sequence[str | os.PathLike[str]]) -> list[Candidate]:
    """The files at the paths, each once. Raises FileNotFoundError for a path, or a pattern, of nothing."""
    found: dict[Path, Candidate] = {}
    for path in paths:
        for candidate in _at(path):
            found.setdefault(candidate.path.resolve(), candidate)
    return list(found.values())


def _at(path: str | os.PathLike[str]) -> Iterator[Candidate]:
    place = Path(path)
    if place.is_dir() or _images_of(place):
        yield from _in_folder(place)
    elif place.is_file():
        yield Candidate(place, asked=True, nested=False)
    elif glob.has_magic(os.fspath(path)):
        matches = sorted(glob.glob(os.fspath(path), recursive=True))
        if not matches:
            raise FileNotFoundError(f"input: no file matches {os.fspath(path)!r}")
        for match in matches:
            yield from _in_folder(Path(match)) if Path(match).is_dir() else [Candidate(Path(match), True, False)]
    else:
        raise FileNotFoundError(f"input: no file or folder {os.fspath(path)!r}")


def _in_folder(folder: Path) -> Iterator[Candidate]:
    """The files of a folder, then those within its folders; of a data set all of its images."""
    root = _images_of(folder) or folder
    files = sorted(
        (path for path in root.rglob("*") if _is_file(path) and not any(map(is_leftover, _below(path, root)))),
        key=lambda path: (path.parent != root, path),
    )
    for path in files:
        yield Candidate(path, asked=False, nested=root is folder and path.parent != root)


def _images_of(folder: Path) -> Path | None:
    """Where a data set's images lie: images/, or, of Cityscapes' ROOT/<split>, ROOT/leftImg8bit/<split>.

    A folder with a folder images/ is a data set if it has masks too, or no images of its own.
    """
    streets, images = folder.parent / "leftImg8bit" / folder.name, folder / "images"
    if streets.is_dir():
        return streets
    if not images.is_dir():
        return None
    graded = any((folder / name).is_dir() for name in ("masks", "gt"))
    return images if graded or not any(path.is_file() and recognise(path) for path in folder.iterdir()) else None


def _is_file(path: Path) -> bool:
    """Whether a path is a file, or a link to one that is missing, which is an error later on."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _below(path: Path, root: Path) -> list[Path]:
    """The path and its folders, up to the root."""
    return [path, *(parent for parent in path.parents if parent != root and root in parent.parents)]
