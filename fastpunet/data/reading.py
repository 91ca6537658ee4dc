"""Files that may be damaged or hostile: errors of one line that name the file, and a limit to what it may unpack to."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UNPACKED_BYTES = {  # what a file may unpack to; of a picture as float32
    "picture": 2**28,
    "DICOM slice": 2**28,
    "bundle": 2**28,
    "volume": 2**29,
}
UNPACKED_TIMES = 20  # a file may also unpack to this many times its own size, so that honest large files are read

_LOGGERS = ("PIL", "pydicom", "nibabel")
_hooks = threading.RLock()  # Python shows warnings, and logs, by one hook for all threads
_said: set[Hashable] = set()


@contextmanager
def reading(path: Path, what: str, argument: str = "file") -> Iterator[None]:
    """Whatever a library raises while it reads `path` becomes a ValueError of one line that names the file.

    what: the kind of file that is expected, with its article: "a NIfTI file". Libraries warn about damage in many
    words; these warnings are dropped, as the block ends either with an error or with values that are checked.
    Raises FileNotFoundError for a missing file, and PermissionError.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{argument}: no file {str(path)!r}")
    try:
        with _hooks, _unwarned(), _unlogged():
            yield
    except (ModuleNotFoundError, PermissionError):  # these say what they mean
        raise
    except Unreadable as error:
        raise ValueError(f"{argument}: {path} {one_line(error, 400)}") from None
    except Exception as error:  # a damaged file surfaces as almost any exception
        raise ValueError(f"{argument}: {path} is truncated or not {what} ({one_line(error)}); copy it again") from None


@contextmanager
def _unwarned() -> Iterator[None]:
    """Warnings of this thread are not shown. A change of filters would make Python repeat old ones."""
    shown, thread = warnings.showwarning, threading.get_ident()

    def show(*arguments: Any, **named: Any) -> None:
        if threading.get_ident() != thread:
            shown(*arguments, **named)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown


@contextmanager
def _unlogged() -> Iterator[None]:
    """What libraries log goes to the handlers that an application has set up, but not to standard error."""
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
    """Raised inside `reading` with a reason of one's own, which follows the file's name."""


def check_unpacked(path: Path, size: int, kind: str) -> None:
    """Raise Unreadable if a file claims to hold more than UNPACKED_BYTES[kind] bytes and 20 times its own size."""
    allowed = max(UNPACKED_BYTES[kind], UNPACKED_TIMES * path.stat().st_size)
    if size > allowed:
        raise Unreadable(
            f"claims to unpack to {size / 2**20:,.0f} MiB, expected at most {allowed / 2**20:,.0f} MiB of a file of "
            f"its size; if you trust it, raise fastpunet.data.reading.UNPACKED_BYTES[{kind!r}]"
        )


def warn_once(message: str, key: Hashable) -> None:
    """Warn (UserWarning), unless the process has been warned of this key: what is true of every file is said of one."""
    if key not in _said:
        _said.add(key)
        warnings.warn(message, stacklevel=3)


def one_line(error: object, length: int = 200) -> str:
    """An error's message without line breaks, or its type where it has none."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split()) or type(error).__name__
    return text if len(text) <= length else text[: length - 3] + "..."
