"""What every reader promises of any input: to take it, or to refuse it in one line, and to run nothing."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fastpunet.cli import error_line

_LONGEST = 1000  # characters of a message
_ACTS = {  # audit events of Python that no reader has a reason for
    "ctypes.dlopen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "os.startfile",
    "pty.spawn",
    "socket.bind",
    "socket.connect",
    "subprocess.Popen",
    "webbrowser.open",
}
_CHANGES = {"os.chmod", "os.chown", "os.link", "os.remove", "os.rename", "os.rmdir", "os.symlink", "shutil.rmtree"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_watched: list[tuple[str, list[str]]] = []  # the folder that a reader may write to, and what it did besides


class Finding(NamedTuple):
    """How a reader broke its promise."""

    kind: str  # the same for inputs that break it in the same way
    report: str


def check(
    read: Callable[[Path], object], path: Path, refusals: tuple[type[Exception], ...] = (ValueError, OSError)
) -> Finding | None:
    """Give a file to a reader, which may refuse it by some errors; None if it keeps its promise.

    Time and memory are for the caller to limit.
    """
    finding = None
    with _nothing_executed(path.parent) as acts:
        try:
            read(path)
        except SystemExit:  # of --help on a command line
            pass
        except refusals as error:
            finding = _odd_message(error)
        except Exception as error:
            finding = Finding(f"{type(error).__name__} at {_place(error)}", "".join(traceback.format_exception(error)))
    return Finding(f"executed {acts[0]}", "\n".join(acts)) if acts else finding


def _odd_message(error: Exception) -> Finding | None:
    message, shown = str(error), error_line(error)
    if message.splitlines() == [message] and len(message) <= _LONGEST and shown.isprintable():
        return None
    return Finding(f"message at {_place(error)}", f"{message[:2000]!r}")


def _place(error: BaseException) -> str:
    """The innermost line of ours that an error passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/fastpunet/" in frame.filename]
    frame = (own or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.name}:{frame.lineno}"


@contextmanager
def _nothing_executed(folder: Path) -> Iterator[list[str]]:
    """A context with a list of what was started, sent, or written elsewhere than in `folder`."""
    if not _watching:
        sys.addaudithook(_hear)
        _watching.append(True)
    acts: list[str] = []
    _watched.append((str(folder), acts))
    try:
        yield acts
    finally:
        _watched.pop()


_watching: list[bool] = []  # a hook cannot be removed, so there is one


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if not _watched:
        return
    folder, acts = _watched[-1]
    if event in _ACTS:
        acts.append(f"{event} {arguments!r:.200}")
    elif (event in _CHANGES or _opens_to_write(event, arguments)) and not _is_own(arguments[0], folder):
        acts.append(f"{event} {arguments[0]!r:.200}")


def _opens_to_write(event: str, arguments: tuple[object, ...]) -> bool:
    return event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _WRITING)


def _is_own(path: object, folder: str) -> bool:
    """Whether a reader may write there; Python itself writes compiled modules."""
    text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    return text.startswith(folder) or text == os.devnull or "__pycache__" in text or not text
