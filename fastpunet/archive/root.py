"""Makes an archive, or opens one that is there, so that nothing of another request is ever mixed in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from fastpunet.archive.layout import ITEMS, NODE, SCHEMA, group_document, read_about


def is_archive(path: Path) -> bool:
    """Whether `fastpunet sample` wrote the store at a path."""
    with suppress(OSError, ValueError):
        return bool(read_about(path))
    return False


def make_root(path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Make an archive unless one is there, and return what is known of it, which may be another process's.

    about: what all of its images share. Raises ValueError for a path of something else, and OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        path.rmdir()  # an empty folder gives way
    if not path.exists():
        aside = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            (aside / ITEMS).mkdir(parents=True)
            (aside / ITEMS / NODE).write_bytes(group_document())
            (aside / NODE).write_bytes(group_document({"schema": SCHEMA, **about}))
            with suppress(OSError):  # another process was faster
                os.rename(aside, path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return read_about(path)
