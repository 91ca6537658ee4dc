"""Pickles of plain containers, NumPy arrays and NumPy scalars, read without running anything that the file names.

A pickle is a program: it may call whatever it can import. Here the few names that NumPy writes stand for the functions
and classes below, which can only make arrays of numbers and text; all other names are refused as they come up.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.reading import Unreadable, reading
from fastpunet.pickles import check_pickle

_DISTRUST = "do not trust this file, and ask for one that holds arrays alone"
_PLAIN_DTYPE = re.compile(r"(b1|[iu][1248]|f[248]|U\d+)")


def load(path: Path) -> Any:
    """What the pickle holds; arrays are read-only.

    Raises FileNotFoundError, and ValueError for a file that is truncated or no pickle, or that names anything but NumPy
    arrays, dtypes and scalars. Such a file runs no code. One array may be there many times
    over; whoever copies them counts first.
    """
    with reading(path, "a pickle of arrays", "path"), path.open("rb") as file:
        check_pickle(file, path.stat().st_size)
        file.seek(0)
        return _arrays(_Unpickler(file).load(), {})


class _Dtype:
    def __init__(self, name: str, *_: object) -> None:
        if not isinstance(name, str) or not _PLAIN_DTYPE.fullmatch(name):
            kind = repr(name) if isinstance(name, str) else type(name).__name__
            raise Unreadable(f"holds an array of dtype {kind}, expected numbers or text; {_DISTRUST}")
        self.value = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.value = self.value.newbyteorder(state[1])


class _Array:
    value: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _from_buffer(data, dtype, shape, "F" if fortran else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: Any, axes: object = None) -> NDArray[Any]:
    if axes is not None:
        raise Unreadable(f"holds an array with permuted axes, expected C or Fortran order; {_DISTRUST}")
    return np.frombuffer(data, dtype.value).reshape(shape, order=order)


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return np.frombuffer(data, dtype.value)[0]


_ADMITTED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): str.encode,  # how bytes are written by protocols before 3
}
for _core in ("numpy.core", "numpy._core"):
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _ADMITTED[f"{_core}.multiarray", "scalar"] = _scalar
    _ADMITTED[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise Unreadable(f"asks for {module}.{name}, expected nothing but NumPy arrays; {_DISTRUST}")
        return _ADMITTED[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise Unreadable(
            f"asks for a persistent object (by a {type(pid).__name__}), expected nothing but NumPy arrays; {_DISTRUST}"
        )


def _arrays(value: Any, done: dict[int, Any]) -> Any:
    """The value with the arrays in its containers in place; a container that is there twice is visited once."""
    if isinstance(value, _Array):
        return value.value
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) not in done:
        if isinstance(value, dict):
            done[id(value)] = {key: _arrays(entry, done) for key, entry in value.items()}
        else:
            done[id(value)] = [_arrays(entry, done) for entry in value]
    return done[id(value)]
