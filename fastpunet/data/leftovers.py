"""Recognises files that do not belong to a data set, such as those that file managers create."""

from __future__ import annotations

from pathlib import Path

_LEFTOVERS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r")  # created by file managers


def is_leftover(path: Path) -> bool:
    """Whether a file or folder is hidden or was created by a file manager."""
    return path.name.startswith(".") or path.name.lower() in _LEFTOVERS
