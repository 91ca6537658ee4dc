"""Reads and writes the members of npz bundles."""

from __future__ import annotations

import io
import math
import os
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.reading import Unreadable, check_unpacked, reading
from fastpunet.files import replacing

_PLAIN = "biufUS"  # kinds of dtype: numbers and text
_HELD_BYTES = 1 << 26  # of a member that is held in memory
_PART_BYTES = 1 << 20
_LONGEST_HEADER = 10_000  # bytes, NumPy's own limit
_HEADERS = {  # version of the npy format -> bytes that give the header's length, and its reader
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}


def read_members(path: str | os.PathLike[str], names: tuple[str, ...]) -> list[NDArray[Any]]:
    """Read the members of those names, in that order; nothing in them is unpickled.

    Raises FileNotFoundError, and ValueError for a file that is truncated, is no npz, lacks a member, holds anything but
    numbers and text, or is too large when unpacked (see `reading.check_unpacked`).
    """
    found = read_optional(path, names)
    for name in names:
        if name not in found:
            raise ValueError(
                f"path: {path} has no member {name!r}; expected {', '.join(names[:-1])} and {names[-1]}; make it again"
            )
    return list(found.values())


def read_optional(path: str | os.PathLike[str], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read those of the members that exist, by name, in the order of `names`. Raises the errors of `read_members`."""
    file = Path(path)
    with reading(file, "an npz bundle", "path"), zipfile.ZipFile(file) as bundle:
        present = member_names(bundle)
        wanted = [name for name in names if name in present]
        check_unpacked(file, sum(bundle.getinfo(f"{name}.npy").file_size for name in wanted), "bundle")
        return {name: _array(bundle, name) for name in wanted}


def map_member(path: str | os.PathLike[str], name: str) -> NDArray[Any]:
    """A member; many values are unpacked to a temporary file, so that they take no memory until they are used.

    The file has no name, and goes with the array. Raises the errors of `read_members`.
    """
    file = Path(path)
    with reading(file, "an npz bundle", "path"), zipfile.ZipFile(file) as bundle:
        size = bundle.getinfo(f"{name}.npy").file_size
        check_unpacked(file, size, "bundle")
        return _array(bundle, name) if size <= _HELD_BYTES else _mapped(bundle, name)


def read_shapes(
    path: str | os.PathLike[str], names: tuple[str, ...]
) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of those of the members that exist, by name, without reading them.

    Raises the errors of `read_members`.
    """
    file = Path(path)
    with reading(file, "an npz bundle", "path"), zipfile.ZipFile(file) as bundle:
        present = member_names(bundle)
        return {name: _shape(bundle, name) for name in names if name in present}


def write_members(path: str | os.PathLike[str], members: dict[str, NDArray[Any]]) -> None:
    """Write arrays as a compressed bundle, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **members)  # type: ignore[arg-type]  # NumPy 1 has no allow_pickle here


def member_names(bundle: zipfile.ZipFile) -> list[str]:
    """The names of the arrays in a bundle, without the suffix, as in NumPy."""
    return [name.removesuffix(".npy") for name in bundle.namelist() if name.endswith(".npy")]


def as_text(names: NDArray[Any]) -> list[str]:
    """Names as str, whether stored as text, bytes or numbers."""
    return np.char.decode(names, "utf-8", "replace").tolist() if names.dtype.kind == "S" else names.astype(str).tolist()


def _array(bundle: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read a member."""
    _shape(bundle, name)
    with bundle.open(f"{name}.npy") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind == "U" and not _is_text(array):
        raise Unreadable(f"holds {name} with invalid Unicode characters; copy it again")
    return array


def _mapped(bundle: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """A member of numbers, in a temporary file."""
    shape, dtype = _shape(bundle, name)
    with tempfile.TemporaryFile() as unpacked:
        with bundle.open(f"{name}.npy") as member:
            while part := member.read(_PART_BYTES):
                _write(unpacked, part)
        unpacked.seek(0)
        _, read_header = _HEADERS[np.lib.format.read_magic(unpacked)]
        fortran = read_header(unpacked)[1]
        return np.memmap(unpacked, dtype, "r", unpacked.tell(), shape, "F" if fortran else "C")


def _write(unpacked: IO[bytes], part: bytes) -> None:
    try:
        unpacked.write(part)
    except OSError as error:
        raise Unreadable(
            f"has to be unpacked into {tempfile.gettempdir()}, which cannot be written to ({error.strerror}); set "
            "TMPDIR to another folder"
        ) from None


def _shape(bundle: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of a member; checks that its header claims no more than the file holds."""
    info = bundle.getinfo(f"{name}.npy")
    with bundle.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise Unreadable(f"holds {name} in version {version} of the npy format, expected (1, 0) or (2, 0)")
        width, read_header = _HEADERS[version]
        length = file.read(width)
        if int.from_bytes(length, "little") > _LONGEST_HEADER:
            raise Unreadable(f"holds {name} with a header of more than {_LONGEST_HEADER} bytes; make it again")
        shape, _, dtype = read_header(io.BytesIO(length + file.read(_LONGEST_HEADER)))
    if dtype.kind not in _PLAIN or dtype.itemsize == 0:
        raise Unreadable(f"holds {name} of dtype {dtype}, expected numbers or text; make it again")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize > info.file_size:
        raise Unreadable(f"holds less of {name} than its header says; copy it again")
    return shape, dtype


def _is_text(array: NDArray[np.str_]) -> bool:
    """Whether all code points are characters; Python cannot make a str of others."""
    points = np.frombuffer(array.tobytes(), array.dtype.byteorder.replace("|", "=") + "u4")
    return bool(((points <= 0x10FFFF) & ((points < 0xD800) | (points > 0xDFFF))).all())
