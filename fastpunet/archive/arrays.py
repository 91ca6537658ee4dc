"""Arrays as the files of a Zarr v3 store, made in memory, shard by shard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.optional import require

_CHUNK_BYTES = 1 << 18  # before compression: the least that is read
_SHARD_BYTES = 1 << 25  # before compression: a file, and what is held in memory
_LEVEL = 1  # of zstd: masks become some ten times smaller, and higher levels save little more


class ArrayFiles:
    """A new array whose rows come in order, and its files as they become complete.

    shape    (rows, ...); chunks and shards divide the rows alone
    rows     of a shard, which is one file
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        dimensions: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        zarr = require("zarr", "writing archives", "cluster")
        row_bytes = np.dtype(dtype).itemsize * math.prod(shape[1:])
        chunk = min(shape[0], max(1, _CHUNK_BYTES // row_bytes))
        self.rows = chunk * min(-(-shape[0] // chunk), max(1, _SHARD_BYTES // (chunk * row_bytes)))
        self._name, self._files = name, dict[str, Any]()
        self._array = zarr.create_array(
            zarr.storage.MemoryStore(self._files),
            name=name,
            shape=shape,
            dtype=dtype,
            chunks=(chunk, *shape[1:]),
            shards=(self.rows, *shape[1:]),
            compressors=[zarr.codecs.ZstdCodec(level=_LEVEL), zarr.codecs.Crc32cCodec()],
            chunk_key_encoding={"name": "default", "separator": "."},  # no folder for each axis
            dimension_names=dimensions,
            attributes=attributes,
            config={"write_empty_chunks": True},  # so that a file that is missing is always a fault
        )

    def shard(self, first: int, values: NDArray[Any]) -> tuple[str, bytes]:
        """The path and the content of the file with rows first .. first + len(values) - 1, which are a whole shard."""
        self._array[first : first + len(values)] = values
        return self._take(".".join(["c", str(first // self.rows), *"0" * (self._array.ndim - 1)]))

    def document(self) -> tuple[str, bytes]:
        """The path and the content of the array's metadata."""
        return self._take("zarr.json")

    def _take(self, key: str) -> tuple[str, bytes]:
        path = f"{self._name}/{key}"
        return path, self._files.pop(path).to_bytes()
