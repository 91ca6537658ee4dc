"""Puts an image's hypotheses into an archive, whole or not at all, whoever else writes there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from fastpunet.archive.layout import NODE, PARTIAL, group_document, item_path


def commit(archive: Path, name: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Write the files (path, content) of an image beside its place, flush them to the disk, and rename the folder.

    What two processes write for one image is the same, so the one that is first is kept. Raises OSError where nothing
    can be written, and passes on whatever the iterable raises; the archive is then as it was.
    """
    target = archive / item_path(name)
    with _aside(archive) as folder:
        for path, content in files:
            _write(folder / path, content)
        for inner in [*(path for path in folder.iterdir() if path.is_dir()), folder]:
            _flush(inner)
        _make_group(archive, target.parent)
        try:
            os.rename(folder, target)
        except OSError:
            if not (target / NODE).is_file():
                raise
        _flush(target.parent)


def sweep(archive: Path) -> None:
    """Remove what killed processes were writing. No other process may write to the archive meanwhile."""
    shutil.rmtree(archive / PARTIAL, ignore_errors=True)


@contextmanager
def _aside(archive: Path) -> Iterator[Path]:
    """A folder to write to, of which nothing is left behind."""
    with suppress(FileExistsError):
        (archive / PARTIAL).mkdir()  # not its parents: an archive that has vanished is not made anew
    folder = archive / PARTIAL / uuid4().hex
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_group(archive: Path, folder: Path) -> None:
    """One of the folders that images are spread over. Nothing unfinished is ever in it, whoever is killed."""
    with suppress(FileExistsError):
        folder.mkdir()
    if not (folder / NODE).is_file():
        aside = archive / PARTIAL / f"{uuid4().hex}.json"
        _write(aside, group_document())
        os.replace(aside, folder / NODE)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot flush a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
