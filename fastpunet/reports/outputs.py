"""Checks, before any work starts, that reports can be written."""

from __future__ import annotations

import os
from pathlib import Path

from fastpunet.files import why_not_writable


def check_writable(name: str, file: Path) -> None:
    """Raise ValueError, naming the argument, unless `file` can be written. Its folder need not exist yet."""
    if file.is_dir():
        raise ValueError(f"{name}: got {str(file)!r}, which is a folder; expected a file, such as {file / 'report'}")
    reason = why_not_writable(file.parent)
    if reason:
        raise ValueError(f"{name}: got {str(file)!r}, where nothing can be written ({reason}); name another folder")


def check_stem(stem: str | os.PathLike[str]) -> Path:
    """Return the beginning of the names of files to write. Raises ValueError if nothing can be written there."""
    base = Path(stem)
    if not base.name or os.fspath(stem).endswith(os.sep):
        raise ValueError(f"output: got {str(stem)!r}, expected the beginning of file names, such as results/lidc")
    check_writable("output", with_ending(base, ".md"))
    return base


def with_ending(base: Path, ending: str) -> Path:
    """Add an ending, such as "-energy.png", to the name of base.

    >>> with_ending(Path("results/lidc-0.5"), ".md").name
    'lidc-0.5.md'
    """
    return base.with_name(base.name + ending)
