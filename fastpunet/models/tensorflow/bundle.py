"""Reads the variables of a TensorFlow checkpoint, FILE.index and FILE.data-00000-of-00001, without TensorFlow."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fastpunet.models.tensorflow.crc32c import crc32c, unmasked
from fastpunet.models.tensorflow.table import MAGIC, entries
from fastpunet.models.tensorflow.varints import message_fields

_LIMIT = 1 << 28  # bytes of an index; the published network's has 20 000
_DTYPES = {1: torch.float32, 2: torch.float64, 14: torch.bfloat16, 19: torch.float16}  # TensorFlow's numbers


class _Entry(NamedTuple):
    """Where a variable is: its type, shape, and its bytes in one of the data files."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    shard: int
    start: int
    length: int
    checksum: int


def is_index(path: Path) -> bool:
    """Whether a file is the index of a checkpoint, by its content."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(MAGIC)))
        return file.read() == MAGIC


def find_index(path: Path) -> Path | None:
    """The index of the checkpoint that a path names as TensorFlow does: without suffix, or by its folder.

    In a folder it is the checkpoint that the file `checkpoint` names as the latest, or else the only one. None if there
    is none. Raises ValueError for a folder with several, of which none is the latest.
    """
    beside = path.parent / f"{path.name}.index"
    if beside.is_file():
        return beside
    if not path.is_dir():
        return None
    if (path / "checkpoint").is_file():
        text = (path / "checkpoint").read_text(encoding="utf-8", errors="replace")
        latest = re.search(r'^model_checkpoint_path: "(.*)"', text, re.MULTILINE)
        named = path / f"{Path(latest[1]).name}.index" if latest else path
        if named.is_file():
            return named
    found = sorted(path.glob("*.index"))
    if len(found) > 1:
        raise ValueError(
            f"source: {str(path)!r} holds {len(found)} checkpoints of TensorFlow; name one of them, such as {found[-1]}"
        )
    return found[0] if found else None


def read_variables(index: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The variables of floating-point numbers whose names are wanted, by name.

    Sizes and checksums are compared before anything is made of the content. Raises ValueError, with the reason, for a
    checkpoint that is damaged or not complete.
    """
    if index.stat().st_size > _LIMIT:
        raise ValueError(f"an index of {index.stat().st_size} bytes, expected at most {_LIMIT}")
    files: dict[int, Path] = {}
    found: dict[str, _Entry] = {}
    shards = 1
    for key, value in entries(index.read_bytes()):
        if not key:
            shards = _shards(value)
            continue
        name = key.decode("utf-8", errors="replace")
        if wanted(name) and (entry := _entry(name, value)) is not None:
            found[name] = entry
            files[entry.shard] = index.with_suffix(f".data-{entry.shard:05d}-of-{shards:05d}")
    for shard, path in files.items():
        _check_shard(path, {name: entry for name, entry in found.items() if entry.shard == shard})
    return {name: _read(name, files[entry.shard], entry) for name, entry in found.items()}


def _check_shard(path: Path, variables: dict[str, _Entry]) -> None:
    """Raise ValueError if a data file is missing or cut off, or if entries share its bytes to take more memory."""
    if not path.is_file():
        raise ValueError(f"the file {path.name}, which the index names, is not beside it")
    size = path.stat().st_size
    for name, entry in variables.items():
        if entry.start + entry.length > size:
            raise ValueError(f"{path.name} ends before {name}")
    claimed = sum(entry.length for entry in variables.values())
    if claimed > size:
        raise ValueError(f"the index names {claimed} bytes of {path.name}, which has {size}")


def _shards(header: bytes) -> int:
    fields = message_fields(header)
    if fields.get(2, [0]) != [0]:
        raise ValueError("its numbers are big-endian")
    return _number(fields, 1, 1)


def _entry(name: str, value: bytes) -> _Entry | None:
    """The entry of a variable; None for one of another type than floating-point numbers."""
    fields = message_fields(value)
    dtype = _DTYPES.get(_number(fields, 1, 0))
    if dtype is None:
        return None
    if 7 in fields:
        raise ValueError(f"{name} is stored in slices")
    shape = _shape(fields.get(2, [b""])[0])
    start, length = _number(fields, 4, 0), _number(fields, 5, 0)
    if length != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} has {length} bytes for the shape {shape}")
    return _Entry(dtype, shape, _number(fields, 3, 0), start, length, _number(fields, 6, 0))


def _shape(message: int | bytes) -> tuple[int, ...]:
    axes = message_fields(message).get(2, []) if isinstance(message, bytes) else []
    return tuple(_number(message_fields(axis), 1, 0) for axis in axes if isinstance(axis, bytes))


def _number(fields: dict[int, list[int | bytes]], field: int, default: int) -> int:
    value = fields.get(field, [default])[-1]
    if not isinstance(value, int):
        raise ValueError(f"field {field} of an entry of the index is not a number")
    return value


def _read(name: str, path: Path, entry: _Entry) -> Tensor:
    with path.open("rb") as file:
        file.seek(entry.start)
        data = bytearray(file.read(entry.length))
    if crc32c(data) != unmasked(entry.checksum):
        raise ValueError(f"{name} does not agree with its checksum")
    values = torch.frombuffer(data, dtype=entry.dtype) if data else torch.empty(0, dtype=entry.dtype)
    return values.view(entry.shape)
