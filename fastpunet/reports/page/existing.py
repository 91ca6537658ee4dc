"""Pages that are there already: kept where they are what a run would make, and never confused with others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fastpunet.prediction.folders import differences

META = "fastpunet-request"  # the name of the element that says what a page was made of
ENTRY_META = "fastpunet-entry"  # and of that which says what a gallery tells of it
_MOST = 1 << 16  # bytes in which it stands


def is_kept(path: Path, asked: Callable[[], Mapping[str, Any]], *, overwrite: bool, skip_existing: bool) -> bool:
    """Whether there is a page that stays. Raises ValueError for one that neither stays nor is to be replaced.

    asked: gives what a new page would be made of, with the keys of `prediction.folders.differences`.
    """
    if not path.exists():
        return False
    there = read_meta(path, META)
    if there is None:
        raise ValueError(f"output: {path} exists, but is not a page of fastpunet report; name another file, or move it")
    if overwrite:
        return False
    if not skip_existing:
        raise ValueError(f"output: {path} exists; pass --skip-existing to keep it, or --overwrite to replace it")
    if changed := differences(there, json.loads(json.dumps(asked()))):
        raise ValueError(
            f"output: {path} was made with other settings: {', '.join(changed)}; name another file, or pass "
            "--overwrite to replace it"
        )
    return True


def read_meta(path: Path, name: str) -> dict[str, Any] | None:
    """What the element of that name at the beginning of a page says; None for a file that is no page."""
    try:
        with path.open("rb") as file:
            beginning = file.read(_MOST).decode("utf-8", errors="replace")
        reader = _MetaReader(name)
        reader.feed(beginning)
        found = json.loads(reader.content or "null")
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


class _MetaReader(HTMLParser):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self.content = name, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        entries = dict(attrs)
        if tag == "meta" and entries.get("name") == self._name and not self.content:
            self.content = entries.get("content") or ""
