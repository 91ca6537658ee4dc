"""Writes tables in LevelDB's format, as the index of a TensorFlow checkpoint is one."""

from __future__ import annotations

from collections.abc import Mapping

from fastpunet.models.tensorflow.crc32c import crc32c
from fastpunet.models.tensorflow.table import MAGIC


def varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def table(entries: Mapping[bytes, bytes], *, compress: bool = False) -> bytes:
    """A table of one block, whose keys share their beginnings."""
    content, before = bytearray(), b""
    for key, value in sorted(entries.items()):
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before))
        )
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    file = bytearray()
    data = _block(file, bytes(content), compress)
    empty = _block(file, b"", compress)
    index = _block(file, varint(0) + varint(len(before)) + varint(len(data)) + before + data, compress)
    return bytes(file + (empty + index).ljust(40, b"\0") + MAGIC)


def _block(file: bytearray, content: bytes, compress: bool) -> bytes:
    """Append a block with one restart; returns where it is and how long."""
    block = content + bytes(4) + (1).to_bytes(4, "little")
    stored = (snappy(block) if compress else block) + bytes([compress])
    start, length = len(file), len(stored) - 1
    file += stored + _masked(crc32c(stored)).to_bytes(4, "little")
    return varint(start) + varint(length)


def _masked(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def snappy(data: bytes) -> bytes:
    """Snappy with literals, and copies of what came within the last 60 000 bytes."""
    made, position, literal = bytearray(varint(len(data))), 0, bytearray()

    def flush() -> None:
        while literal:
            part = bytes(literal[:200])
            made.extend([60 << 2, len(part) - 1] if len(part) > 60 else [(len(part) - 1) << 2])
            made.extend(part)
            del literal[:200]

    while position < len(data):
        length = next((n for n in (60, 20, 8) if data.rfind(data[position : position + n], 0, position) >= 0), 0)
        length = min(length, len(data) - position)
        found = data.rfind(data[position : position + length], max(0, position - 60000), position) if length > 4 else -1
        if found < 0:
            literal.append(data[position])
            position += 1
            continue
        flush()
        made.append(2 | (length - 1) << 2)
        made.extend((position - found).to_bytes(2, "little"))
        position += length
    flush()
    return bytes(made)
