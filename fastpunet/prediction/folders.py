"""The folder of an image's answer: written whole or not at all, and never confused with another request's."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

ANSWER_FILE = "answer.json"  # written last; a folder that has it is whole


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` to write to, which takes its place when the block ends without an error.

    After an error or an interruption `folder` is as it was. What a killed process left behind is removed the next time.
    Raises OSError where nothing can be written.
    """
    temporary, replaced = (folder.with_name(f".{folder.name}.{ending}") for ending in ("partial", "replaced"))
    for leftover in (temporary, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.exists():
            os.replace(folder, replaced)
        os.replace(temporary, folder)
    finally:
        for leftover in (temporary, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def find_answer(folder: Path) -> dict[str, Any] | None:
    """The answer that a folder holds; None if there is no folder. Raises ValueError for a folder of something else."""
    if not folder.exists() and not folder.is_symlink():
        return None
    try:
        answer = json.loads((folder / ANSWER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        answer = None
    if not isinstance(answer, dict):
        raise ValueError(
            f"output: {folder} exists, but was not written by fastpunet sample; name another folder, or move it away"
        )
    return answer


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """A folder that exists, which no other process writes answers to meanwhile. Raises ValueError if one does already.

    A process that ends, however it does, gives the folder free.
    """
    with _opened(output) as folder:
        if not _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            raise ValueError(f"output: another process is writing to {output}; wait for it, or name another folder")
        yield


@contextmanager
def among_others(output: Path) -> Iterator[Callable[[], bool]]:
    """A folder that exists, to which others may write that have also entered this context.

    Waits while a process has the folder `alone`. Gives a function that tries to have it alone from now on, and returns
    whether that is so. Of several processes that end by trying, at least the last one has it.
    """
    with _opened(output) as folder:
        _lock(folder, fcntl.LOCK_SH)
        yield lambda: _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    except OSError:  # some file systems have no locks
        pass
    return True


def is_written(path: Path) -> bool:
    """Whether a file is part of an answer, so that it is no input of the next run, whatever pattern matches it.

    >>> is_written(Path(__file__))
    False
    """
    try:
        answer = _read_answer(path.parent)
    except (OSError, ValueError):
        return False
    return isinstance(answer, dict) and path.name in answer.get("written", ())


@lru_cache(maxsize=1)  # the files of a folder come one after the other
def _read_answer(folder: Path) -> Any:
    return json.loads((folder / ANSWER_FILE).read_text(encoding="utf-8"))


def differences(answer: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """What was otherwise when this answer was made, such as "n was 16"."""
    then = answer.get("request", {})
    changed = [f"{name} was {then.get(name)}" for name, value in asked["request"].items() if then.get(name) != value]
    if answer.get("model", {}).get("sha256") != asked["model"]["sha256"]:
        changed.append("the model was a different one")
    if answer.get("sha256") != asked["sha256"]:
        changed.append("the image was a different one")
    return changed
