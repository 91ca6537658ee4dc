"""Guards the reading of damaged or hostile files: one-line errors that name the file, and limits to unpacked sizes."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastpunet.warning import warn

UNPACKED_BYTES = {  # the largest size that a file may unpack to; a picture counts as float32
    "picture": 2**28,
    "DICOM slice": 2**28,
    "bundle": 2**28,
    "volume": 2**29,
}
UNPACKED_TIMES = (
    20  # a file may always unpack to this many times its own size, so that ordinary large files can be read
)

_LOGGERS = ("PIL", "pydicom", "nibabel")
_hook = threading.Lock()  # all threads share Python's hook for warnings
_hushed: list[int] = []  # threads whose warnings are hidden
_shown: Callable[..., None] = warnings.showwarning  # what shows those of the others meanwhile
_said: set[Hashable] = set()


@contextmanager
def reading(path: Path, what: str, argument: str = "file") -> Iterator[None]:
    """A context that turns any error of a library reading `path` into a one-line ValueError that names the file.

    what: the expected kind of file with its article, such as "a NIfTI file". Warnings of libraries about damage are
    dropped, because the block ends either with an error or with values that are checked. Raises FileNotFoundError for
    a missing file, and PermissionError.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{argument}: no file {str(path)!r}")
    if not path.stat().st_size:
        raise ValueError(f"{argument}: {path} is empty (0 bytes); copy it again")
    try:
        with _unwarned(), _unlogged():
            yield
    except (ModuleNotFoundError, PermissionError):  # their messages are clear already
        raise
    except Unreadable as error:
        raise ValueError(f"{argument}: {path} {one_line(error, 400)}") from None
    except Exception as error:  # a damaged file can cause almost any exception
        raise ValueError(f"{argument}: {path} is truncated or not {what} ({one_line(error)}); copy it again") from None


@contextmanager
def _unwarned() -> Iterator[None]:
    """A context that hides the warnings of this thread. Filters would make Python repeat old warnings.

    Any number of threads may be inside, and one that hangs there stops no other one.
    """
    global _shown
    thread = threading.get_ident()
    with _hook:
        if not _hushed and warnings.showwarning is not _show:
            _shown, warnings.showwarning = warnings.showwarning, _show
        _hushed.append(thread)
    try:
        yield
    finally:
        with _hook:
            _hushed.remove(thread)
            if not _hushed and warnings.showwarning is _show:
                warnings.showwarning = _shown


def _show(*arguments: Any, **named: Any) -> None:
    if threading.get_ident() not in _hushed:
        _shown(*arguments, **named)


@contextmanager
def _unlogged() -> Iterator[None]:
    """A context in which log messages go to the handlers that an application has set up, but not to standard error."""
    handler = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class Unreadable(ValueError):
    """An error to raise inside `reading`. Its message becomes the text after the file's name."""


def check_unpacked(path: Path, size: int, kind: str) -> None:
    """Raise Unreadable if a file would unpack to more than UNPACKED_BYTES[kind] bytes and 20 times its own size."""
    allowed = max(UNPACKED_BYTES[kind], UNPACKED_TIMES * path.stat().st_size)
    if size > allowed:
        raise Unreadable(
            f"claims to unpack to {size / 2**20:,.0f} MiB, expected at most {allowed / 2**20:,.0f} MiB for a file of "
            f"its size; if you trust it, raise fastpunet.data.reading.UNPACKED_BYTES[{kind!r}]"
        )


def check_chunks(array: Any, path: Path, argument: str) -> None:
    """Raise ValueError for chunks of a Zarr array that would fill the memory: whole ones are unpacked for any part."""
    size, most = math.prod(array.chunks) * array.dtype.itemsize, UNPACKED_BYTES["bundle"]
    if not 0 < size <= most:
        raise ValueError(
            f"{argument}: {path} has chunks {tuple(array.chunks)} of {size:,} bytes, expected 1 .. {most:,}; write it "
            "with smaller chunks"
        )


def warn_once(message: str, key: Hashable) -> None:
    """Issue a UserWarning, unless this process has issued one for this key, so that not every file causes a warning."""
    if key not in _said:
        _said.add(key)
        warn(message)


def one_line(error: object, length: int = 200) -> str:
    """An error's message without line breaks, or its type where it has none."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split()) or type(error).__name__
    return text if len(text) <= length else text[: length - 3] + "..."
