"""Reads archives: nothing but the images and hypotheses that are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastpunet.archive.layout import MASKS, TABLE, is_name, item_path, known, read_about
from fastpunet.data.reading import check_chunks, reading
from fastpunet.masks import PackedMasks
from fastpunet.optional import require

_ROWS = 10_000  # of the table, read at a time


def open_samples(path: str | os.PathLike[str]) -> StoredSamples:
    """Open an archive that `fastpunet sample MODEL INPUT... -o NAME.zarr` wrote. Nothing but its metadata is read.

    Returns a mapping from the names of images to their hypotheses. Raises FileNotFoundError, and ValueError for another
    kind of store. Needs zarr, and for the list of all names pyarrow: pip install 'fastpunet[cluster]'.

    samples = fastpunet.open_samples("store.zarr")
    samples["case01"][:16]  # PackedMasks (1, 16, H, W): the first 16 hypotheses, and only their chunks are read
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"archive: no folder {str(place)!r}")
    try:
        return StoredSamples(place, read_about(place))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"archive: {place} is not a Zarr v3 store; name an archive that fastpunet sample wrote"
        ) from None


class StoredSamples(Mapping[str, "StoredHypotheses"]):
    """The hypotheses of all images of an archive, by the images' names.

    about        what all images share: the model (`source`, `sha256`), the request, the classes
    num_classes  of the hypotheses, 1 if they are binary

    `len` and the names need the table, which is written last; ValueError says so while it is missing. An image can be
    looked up before. Raises KeyError for a name that is not there.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path, self.about = path, about
        self.num_classes: int = known(path, about, "num_classes", int)
        for key in ("model", "request"):
            known(path, about, key, dict)

    def __getitem__(self, name: str) -> StoredHypotheses:
        if not is_name(name):
            raise KeyError(name)
        node = self.path / item_path(name)
        try:
            return StoredHypotheses(node, read_about(node))
        except FileNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        for batch in self.batches(["name"]):
            yield from batch.column(0).to_pylist()

    def __len__(self) -> int:
        return int(self._table.metadata.num_rows)

    def batches(self, columns: list[str] | None = None, rows: int = _ROWS) -> Iterator[Any]:
        """The table as `pyarrow.RecordBatch`es of so many rows, so that memory does not grow with the images.

        columns: the ones to read, by default all. Raises ValueError for a table without them.
        """
        names = self._table.schema_arrow.names
        if lost := set(columns or ()) - set(names):
            raise ValueError(
                f"archive: {self.path / TABLE} has no column {', '.join(sorted(lost))}; its columns are "
                f"{', '.join(names)}"
            )
        yield from self._table.iter_batches(rows, columns=columns)

    def table(self, columns: list[str] | None = None) -> Any:
        """The table as `pyarrow.Table`, a row for each image; columns: the ones to read, by default all."""
        return self._table.read(columns)

    @cached_property
    def _table(self) -> Any:
        parquet = require("pyarrow.parquet", "reading the table of an archive", "cluster")
        if not (self.path / TABLE).is_file():
            raise ValueError(
                f"archive: {self.path} has no {TABLE}, which is written last; run fastpunet sample again with "
                "--skip-existing to finish it"
            )
        with reading(self.path / TABLE, "a Parquet table", "archive"):
            return parquet.ParquetFile(self.path / TABLE)


class StoredHypotheses:
    """The n hypotheses of one image, which are read when they are asked for, as in stored[:16].

    about  what the archive knows of them: id, seed, n, the SHA-256 of image and model, measures, warnings, ...
    """

    def __init__(self, node: Path, about: Mapping[str, Any]) -> None:
        self.path, self.about = node, about

    @property
    def n(self) -> int:
        return known(self.path, self.about, "n", int)

    @property
    def size(self) -> tuple[int, ...]:
        """(H, W) or (D, H, W) of the image."""
        return tuple(known(self.path, known(self.path, self.about, "image", dict), "size", list))

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, hypotheses: slice) -> PackedMasks:
        """PackedMasks (1, some, *size) of these hypotheses. Raises TypeError for anything but a slice.

        Raises ValueError for files that are damaged or missing; `fastpunet verify` names all of them.
        """
        if not isinstance(hypotheses, slice):
            raise TypeError(f"hypotheses: got {hypotheses!r}, expected a slice, as in stored[:16]")
        try:
            words = torch.from_numpy(np.asarray(self._array[hypotheses]))
            return PackedMasks(words[None], self.size)
        except Exception as error:  # damage may fail in any way
            text = " ".join(str(error).split())[:200]
            raise ValueError(
                f"archive: {self.path} is damaged ({text}); run fastpunet verify to see which files are"
            ) from None

    @cached_property
    def _array(self) -> Any:
        zarr = require("zarr", "reading archives", "cluster")
        array = zarr.open_array(self.path / MASKS, mode="r")
        check_chunks(array, self.path / MASKS, "archive")
        return array
