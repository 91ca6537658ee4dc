"""What the reader of a format finds in files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fastpunet.data.inputs.input import Input
from fastpunet.data.inputs.names import ending, safe, stem, with_ending
from fastpunet.data.reading import one_line

_FOLDERS = 5


class Found(NamedTuple):
    """An image, and the names that it could have, the shortest first."""

    names: tuple[str, ...]
    image: Input  # still without a name


Reader = Callable[[Sequence[Path], list[str]], Iterator[Found]]  # files of one format, and a list for what is refused


def each(read_one: Callable[[Path], Iterator[Found]]) -> Reader:
    """The reader of a format whose files have nothing to do with one another, made from the reader of one file."""

    def read_all(paths: Sequence[Path], refused: list[str]) -> Iterator[Found]:
        for path in paths:
            with noting(refused, path):
                yield from read_one(path)

    return read_all


@contextmanager
def noting(refused: list[str], path: Path) -> Iterator[None]:
    """A context that ends at an error of a file, and notes its message."""
    try:
        yield
    except FileNotFoundError:
        refused.append(
            f"file: no file {str(path)!r}; if it is a link (of git-annex, DVC or the like), fetch the file behind it"
        )
    except OSError as error:
        refused.append(f"file: {path} cannot be read ({one_line(error.strerror or error)})")
    except ValueError as error:
        refused.append(one_line(error, 1000))


def names_of(path: Path, ending: str = "") -> tuple[str, ...]:
    """Names after a file: its own, then with more and more of the folders that it lies in."""
    return below(path.absolute().parent, stem(path) + ending)


def other_names(source: Input) -> list[str]:
    """What an image that is alone in its file, or in its files, could be called among other inputs."""
    file = source.files[0]
    alone = (
        names_of(file) if len(source.files) == 1 else below(file.absolute().parent.parent, file.absolute().parent.name)
    )
    names = list(map(safe, alone))
    names += [with_ending(name, ending(file)) for name in names]
    own = source.name in names or re.sub(r"-\d+$", "", source.name) in names  # without the number of `distinct`
    return [name for name in names if name != source.name] if own else []


def below(folder: Path, name: str) -> tuple[str, ...]:
    """A name, then the same with more and more folders before it."""
    folders = [folder, *folder.parents][:_FOLDERS]
    return tuple(
        "_".join([*(above.name for above in reversed(folders[:count])), name]) for count in range(len(folders) + 1)
    )
