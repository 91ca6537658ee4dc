"""Reads a sorted table of keys and values in LevelDB's format, which is what the index of a checkpoint is."""

from __future__ import annotations

from collections.abc import Iterator

from fastpunet.models.tensorflow.crc32c import crc32c, unmasked
from fastpunet.models.tensorflow.snappy import unpack
from fastpunet.models.tensorflow.varints import Cursor

MAGIC = bytes.fromhex("57fb808b247547db")  # the last bytes of such a file
_FOOTER, _TRAILER = 48, 5
_LIMIT = 1 << 22  # bytes of all blocks, unpacked; those of the published network have 20 000
_LEAST = 1 << 12  # bytes that each block counts for, so that they are not too many
_LONGEST_KEY = 1 << 12  # bytes


def entries(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in order. Raises ValueError for a damaged table."""
    if len(file) < _FOOTER or not file.endswith(MAGIC):
        raise ValueError("the index is cut off")
    footer = Cursor(file[-_FOOTER:])
    footer.varint(), footer.varint()  # where the index of filters is
    left = _LIMIT
    for _, handle in _entries_of(_block(file, footer.varint(), footer.varint(), left)):
        where = Cursor(handle)
        block = _block(file, where.varint(), where.varint(), left)
        left -= max(len(block), _LEAST)
        if left < 0:
            raise ValueError(f"its blocks hold more than {_LIMIT} bytes")
        yield from _entries_of(block)


def _block(file: bytes, start: int, length: int, limit: int) -> bytes:
    end = start + length
    if end + _TRAILER > len(file) - _FOOTER:
        raise ValueError("the index refers to a block that is not there")
    stored = int.from_bytes(file[end + 1 : end + _TRAILER], "little")
    if crc32c(file[start : end + 1]) != unmasked(stored):
        raise ValueError("a block of the index does not agree with its checksum")
    kind = file[end]
    if kind > 1:
        raise ValueError(f"a block of the index is compressed in an unknown way, {kind}")
    return unpack(file[start:end], limit) if kind else file[start:end]


def _entries_of(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block of the index is cut off")
    cursor, key = Cursor(block[:end]), b""
    while not cursor.at_end:
        shared, own, length = cursor.varint(), cursor.varint(), cursor.varint()
        if shared > len(key):
            raise ValueError("a key of the index continues one that is shorter")
        if shared + own > _LONGEST_KEY:
            raise ValueError(f"a key of the index has {shared + own} bytes, expected at most {_LONGEST_KEY}")
        key = key[:shared] + cursor.take(own)
        yield key, cursor.take(length)
