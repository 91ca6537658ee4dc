"""Files that nobody meant to be part of a data set."""

from __future__ import annotations

from pathlib import Path

_LEFTOVERS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r")  # of file managers


def is_leftover(path: Path) -> bool:
    """Whether a file or folder is hidden, or one that file managers leave behind."""
    return path.name.startswith(".") or path.name.lower() in _LEFTOVERS
