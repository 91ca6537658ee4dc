"""Numbers as the page holds them: compressed, and in a form that JSON takes."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

Packed = dict[str, Any]  # {"dtype": ..., "shape": [...], "data": base64 of zlib-compressed little-endian values}
DTYPES = ("float32", "float16", "uint8", "uint16", "int16", "int32")


def compact(values: NDArray[Any]) -> Packed:
    """An array of one of `DTYPES`; bool becomes "bits", 8 values a byte, the first in the lowest, rows of whole bytes.

    >>> compact(np.array([[True, False, True]]))
    {'dtype': 'bits', 'shape': [1, 3], 'data': 'eNpjBQAABgAG'}
    """
    if values.dtype == np.bool_:
        return _packed("bits", values.shape, np.packbits(values, axis=-1, bitorder="little").tobytes())
    name = values.dtype.name
    if name not in DTYPES:
        raise TypeError(f"values: got {name}, expected bool or one of {', '.join(DTYPES)}")
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return _packed(name, values.shape, little.tobytes())


def smallest(values: NDArray[Any]) -> NDArray[Any]:
    """Values of an image in a dtype of `DTYPES` that holds them exactly, where one does; else in float32.

    >>> smallest(np.array([-1000.0, 40.0])).dtype, smallest(np.array([0.5])).dtype
    (dtype('int16'), dtype('float32'))
    """
    least, most = values.min(), values.max()
    if np.array_equal(values, np.rint(values)):
        for dtype in (np.uint8, np.int16, np.uint16, np.int32):
            limits = np.iinfo(dtype)
            if limits.min <= least and most <= limits.max:
                return values.astype(dtype)
    return values.astype(np.float32)


def _packed(dtype: str, shape: tuple[int, ...], data: bytes) -> Packed:
    return {"dtype": dtype, "shape": list(shape), "data": b64encode(zlib.compress(data, 9)).decode("ascii")}
