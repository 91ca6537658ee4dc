"""The log of an archive: a line of JSON for each thing that somebody may have to look after."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
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
        line = json.dumps({"schema": SCHEMA, "time": time, **entry}, ensure_ascii=False)
        self._waiting += line.encode() + b"\n"
        with suppress(OSError):
            self._append(self._waiting)
            self._waiting = b""

    def _append(self, lines: bytes) -> None:
        """Append whole lines or nothing. Raises OSError."""
        with self._path.open("a+b", buffering=0) as file:
            with suppress(OSError):  # some file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            cut = file.read(1) not in (b"", b"\n")  # a process was killed while it wrote a line
            try:
                if file.write(b"\n" * cut + lines) < cut + len(lines):
                    raise OSError("the disk is full")
            except OSError:
                file.truncate(end)
                raise
