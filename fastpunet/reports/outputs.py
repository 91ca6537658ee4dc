"""Where reports are written: checked before any work starts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def check_writable(name: str, file: Path) -> None:
    """Raise ValueError, naming the argument, unless `file` can be written. Its folder need not exist yet."""
    if file.is_dir():
        raise ValueError(f"{name}: got {str(file)!r}, which is a folder; expected a file, such as {file / 'report'}")
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"{name}: got {str(file)!r}, and nothing can be written in {str(folder)!r} ({error.strerror}); "
            "name another folder"
        ) from None


def check_stem(stem: str | os.PathLike[str]) -> Path:
    """The beginning of the written files' names. Raises ValueError where nothing can be written."""
    base = Path(stem)
    if not base.name or os.fspath(stem).endswith(os.sep):
        raise ValueError(f"output: got {str(stem)!r}, expected the beginning of file names, such as results/lidc")
    check_writable("output", with_ending(base, ".md"))
    return base


def with_ending(base: Path, ending: str) -> Path:
    """The file whose name is base's with an ending, such as "-energy.png".

    >>> with_ending(Path("results/lidc-0.5"), ".md").name
    'lidc-0.5.md'
    """
    return base.with_name(base.name + ending)
