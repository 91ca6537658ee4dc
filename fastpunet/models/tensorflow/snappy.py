"""Unpacks snappy, in which TensorFlow may compress the blocks of an index."""

from __future__ import annotations

from fastpunet.models.tensorflow.varints import Cursor


def unpack(data: bytes, limit: int) -> bytes:
    """The content of a raw snappy block. Raises ValueError for a damaged one, or one that holds over `limit` bytes.

    >>> unpack(bytes([8, 4, 97, 98, 9, 2]), limit=100)
    b'abababab'
    """
    cursor = Cursor(data)
    length = cursor.varint()
    if length > limit:
        raise ValueError(f"a compressed block claims {length} bytes")
    made = bytearray()
    while not cursor.at_end:
        tag = cursor.take(1)[0]
        if tag & 3 == 0:
            made += cursor.take(_literal_length(tag >> 2, cursor))
        else:
            _copy(made, *_copied(tag, cursor))
        if len(made) > length:
            raise ValueError("a compressed block holds more than it claims")
    if len(made) != length:
        raise ValueError("a compressed block is cut off")
    return bytes(made)


def _literal_length(code: int, cursor: Cursor) -> int:
    return 1 + (code if code < 60 else int.from_bytes(cursor.take(code - 59), "little"))


def _copied(tag: int, cursor: Cursor) -> tuple[int, int]:
    """How far back a copy starts, and its length."""
    if tag & 3 == 1:
        return (tag >> 5) << 8 | cursor.take(1)[0], 4 + (tag >> 2 & 7)
    return int.from_bytes(cursor.take(2 if tag & 3 == 2 else 4), "little"), 1 + (tag >> 2)


def _copy(made: bytearray, back: int, length: int) -> None:
    if not 0 < back <= len(made):
        raise ValueError("a compressed block refers to what is not there")
    pattern = bytes(made[-back:])[:length]
    made += (pattern * (length // len(pattern) + 1))[:length]  # a copy may run into itself
