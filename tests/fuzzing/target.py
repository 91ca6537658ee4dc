"""A reader to fuzz: how bytes become files, what is called with them, and from which bytes to start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KEPT = Path(__file__).parent / "corpus"  # inputs that once broke a promise, in a folder for each target


@dataclass(frozen=True)
class Target:
    """
    name    of the target
    file    the name of the file that is read
    read    the reader, with the file's path
    seeds   sound inputs, and hostile ones, to start from
    packed  makes the content of the file of an input, with checksums and lengths that are right; None: as it is
    refusals  the errors that the reader may raise
    """

    name: str
    file: str
    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]
    packed: Callable[[bytes], bytes] | None = None
    refusals: tuple[type[Exception], ...] = (ValueError, OSError)

    def write(self, data: bytes, folder: Path) -> Path:
        """Write the file of an input into a folder."""
        path = folder / self.file
        path.write_bytes(data if self.packed is None else self.packed(data))
        return path

    def kept(self) -> list[bytes]:
        """Inputs that once broke the reader's promise."""
        return [path.read_bytes() for path in sorted((KEPT / self.name).glob("*"))]


def every(*readers: Callable[[Path], object]) -> Callable[[Path], None]:
    """A reader that asks several, and raises the first refusal."""

    def read(path: Path) -> None:
        refused: list[Exception] = []
        for reader in readers:
            try:
                reader(path)
            except (ValueError, OSError) as error:
                refused.append(error)
        if refused:
            raise refused[0]

    return read
