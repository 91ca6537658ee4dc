"""How often an image of an archive was begun by a process that then ended, counted in files that outlive it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastpunet.archive.layout import PARTIAL


class Tries:
    """Counts tries that did not end, in the folder of what is still being written, which `sweep` empties."""

    def __init__(self, archive: Path) -> None:
        self._folder = archive / PARTIAL

    def before(self, name: str) -> int:
        """How many tries there were that did not end."""
        try:
            return self._file(name).stat().st_size
        except OSError:
            return 0

    @contextmanager
    def one(self, name: str) -> Iterator[None]:
        """A try, which counts from now on unless the context is left. Raises OSError where nothing can be written."""
        with suppress(FileExistsError):
            self._folder.mkdir()
        with self._file(name).open("ab") as file:
            file.write(b".")
        try:
            yield
        finally:
            self.forget(name)

    def forget(self, name: str) -> None:
        """Count no tries before now."""
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.tries"
