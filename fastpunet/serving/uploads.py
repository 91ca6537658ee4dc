"""Files that clients send: each lies in a private folder for as long as it is read, and is one image."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastpunet.data.inputs import Input, find_inputs
from fastpunet.data.inputs.names import safe
from fastpunet.data.reading import one_line

_PREFIX = "fastpunet-serve-"
_LOCK = ".lock"


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that nobody else can read, and that is removed in the end.

    What killed processes of the same user left behind is removed as well.
    """
    _remove_leftovers(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(place: Path) -> None:
    """Remove the private folders whose processes have ended: their locks are free."""
    for folder in place.glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it is in use, or is being made or removed
            continue


@contextmanager
def uploaded(folder: Path, name: str, content: bytes) -> Iterator[Input]:
    """The one image in a file of that name, which exists until the block ends; no pixels are read yet.

    Raises ValueError, naming the file without its folder, for one that holds no image or several.
    """
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        file = place / safe(name)
        file.write_bytes(content)
        found = find_inputs([file])
        if len(found) != 1:
            raise ValueError(f"file: {file.name} holds {len(found)} images, expected one; send them one by one")
        yield found[0]
    except (ValueError, OSError) as error:
        raise ValueError(one_line(str(error).replace(f"{place}{os.sep}", ""), 1000)) from None
    finally:
        shutil.rmtree(place, ignore_errors=True)
