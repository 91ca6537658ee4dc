"""PNG, JPEG and TIFF files, each with one picture.

Their tags of resolution say how large to print a picture or come from a program's default, so no spacing is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fastpunet.data.images import read_header, read_stored
from fastpunet.data.inputs.found import Found, names_of
from fastpunet.data.inputs.input import Input


def read(path: Path, kind: str) -> Iterator[Found]:
    """The picture in a file of that kind: png, jpeg or tiff. Raises the errors of `images.read_header`."""
    header = read_header(path)
    yield Found(
        names_of(path),
        Input(
            "", (path,), kind, header.channels, header.size, None, None, header.intensity, partial(read_stored, path)
        ),
    )
