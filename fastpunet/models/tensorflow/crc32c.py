"""CRC-32C (Castagnoli), the checksum of TensorFlow's files, computed for many parts of the data at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_ALL = 0xFFFFFFFF
_MASK_ADDED = 0xA282EAD8


def _byte_table() -> Words:
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ np.uint32(0x82F63B78), values >> 1)
    return values


_TABLE = _byte_table()


def crc32c(data: bytes | bytearray) -> int:
    """The CRC-32C of some bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    values = np.frombuffer(data, np.uint8)
    parts = 1 << min(14, len(values).bit_length() // 2)
    length = max(1, -(-len(values) // parts))
    padded = np.zeros(parts * length, np.uint8)  # zeros in front change nothing, because each part starts at 0
    padded[len(padded) - len(values) :] = values
    states = np.zeros(parts, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(parts, length).T):
        states = _TABLE[(states ^ column) & 0xFF] ^ states >> 8
    shift = _zero_bytes(length)
    while len(states) > 1:  # joins neighbours
        states = _apply(shift, states[::2]) ^ states[1::2]
        shift = _apply(shift, shift)
    start = _apply(_zero_bytes(len(values)), np.array([_ALL], np.uint32))
    return int(start[0] ^ states[0]) ^ _ALL


def unmasked(stored: int) -> int:
    """The CRC-32C that a file holds in masked form."""
    rotated = (stored - _MASK_ADDED) & _ALL
    return (rotated >> 17 | rotated << 15) & _ALL


def _zero_bytes(count: int) -> Words:
    """The linear map of a state that `count` zero bytes make, as the images of its 32 bits."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result, power = bits, _TABLE[bits & 0xFF] ^ bits >> 8
    while count:
        if count & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        count >>= 1
    return result


def _apply(images: Words, states: Words) -> Words:
    """The linear map with these images of the 32 bits, applied to many states."""
    bits = states[:, None] >> np.arange(32, dtype=np.uint32) & 1
    return np.bitwise_xor.reduce(np.where(bits, images, np.uint32(0)), axis=1)
