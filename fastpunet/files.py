"""Files that are written whole or not at all, whatever interrupts the writing and whoever else writes there."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside `path` to write to. It takes the place of `path` when the block ends without an error.

    Its name is unique, so that two processes may write the same path: the last one to finish wins. Its suffix is that
    of `path`, because libraries choose a format by it. After an error or an interruption `path` is as it was.
    Raises OSError where nothing can be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(6)}{target.suffix}")
    temporary.touch(exist_ok=False)  # with the permissions of any new file
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, target)
        _flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(*paths: str | os.PathLike[str]) -> str:
    """The SHA-256 of the content of files, one after the other, in hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def why_not_writable(folder: Path) -> str | None:
    """Why no file can be written into a folder, which need not exist yet; None if one can. Nothing is left there.

    >>> why_not_writable(Path(__file__) / "run").endswith("files.py: Not a directory")
    True
    """
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return f"{place}: {error.strerror}"


def check_folder(name: str, folder: Path) -> None:
    """Raise ValueError, naming the argument, unless files can be written into a folder, which need not exist yet."""
    reason = why_not_writable(folder)
    if reason:
        raise ValueError(f"{name}: got {str(folder)!r}, where nothing can be written ({reason}); name another folder")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: str | os.PathLike[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows, which all have the keys of the first one, as CSV with a header; None is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _flush_to_disk(path: Path) -> None:
    """Flush a file or a folder, so that neither a crash nor a power cut leaves an empty file under the final name."""
    with suppress(OSError):  # some file systems cannot flush a folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
