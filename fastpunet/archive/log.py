"""The log of an archive: a line of JSON for each thing that somebody may have to look after."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fastpunet.archive.layout import LOG, SCHEMA


class Log:
    """Appends lines. Several processes may append to one log.

    A line that cannot be written, as on a full disk, is kept, and written with the next one that can.
    """

    def __init__(self, archive: Path) -> None:
        self._path, self._waiting = archive / LOG, b""

    def note(self, **entry: Any) -> None:
        """Append a line, which also has the schema and the time."""
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"schema": SCHEMA, "time": time, **entry}, ensure_ascii=False).encode() + b"\n"
        self._waiting += line
        try:
            with self._path.open("ab") as file:
                if file.tell() and not self._ends_whole():
                    self._waiting = b"\n" + self._waiting  # the end of a process cut a line short
                file.write(self._waiting)
            self._waiting = b""
        except OSError:
            pass

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
