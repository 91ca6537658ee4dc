"""Integers of variable length and protocol buffers, of which TensorFlow's index consists."""

from __future__ import annotations


class Cursor:
    """Reads bytes one after the other. Raises ValueError where there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._data)

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise ValueError("the index is cut off inside an entry")
        self._at += count
        return self._data[self._at - count : self._at]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("the index holds a number of more than 64 bits")


def message_fields(data: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a protocol buffer: numbers for integers, bytes for texts and messages inside.

    >>> message_fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69]))
    {1: [150], 2: [b'hi']}
    """
    cursor, found = Cursor(data), dict[int, list[int | bytes]]()
    while not cursor.at_end:
        key = cursor.varint()
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value = cursor.varint()
        elif kind == 2:
            value = cursor.take(cursor.varint())
        elif kind in (1, 5):
            value = int.from_bytes(cursor.take(8 if kind == 1 else 4), "little")
        else:
            raise ValueError(f"the index holds a field of unknown kind {kind}")
        found.setdefault(key >> 3, []).append(value)
    return found
