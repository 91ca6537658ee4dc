# mypy: allow-untyped-defs, allow-incomplete-defs
"""Pairwise overlap of bit-packed masks: AND and popcount for small sets, exact int8 matrix products for large ones."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

COUNTED: dict[str, Any] = {"MULTIPLY": False, "TILE": 32, "WORDS": 4}  # with 8 words at a time, ptxas spills
MULTIPLIED: dict[str, Any] = {"MULTIPLY": True, "TILE": 64, "WORDS": 4}  # the fewest rows that wgmma takes
FEWEST_MULTIPLIED = 48  # masks of either set, from which on the matrix units have enough to do; not measured yet


@triton.jit
def popcount(x):
    """Bits set in each uint32, as int32, without a popcount instruction, so that it runs on any target."""
    x -= (x >> 1) & 0x55555555
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    x += x >> 8
    x += x >> 16
    return (x & 0x3F).to(tl.int32)


@triton.jit
def unpacked(words):
    """int32 words (ROWS, WORDS) as 0 and 1, int8 (ROWS, 32 WORDS)."""
    bits = (words[:, :, None] >> tl.arange(0, 32)[None, None, :]) & 1
    return tl.reshape(bits.to(tl.int8), [words.shape[0], 32 * words.shape[1]])


@triton.jit
def intersection_kernel(
    out_ptr,
    a_ptr,
    b_ptr,
    count_a,
    count_b,
    planes,
    words,
    SYMMETRIC: tl.constexpr,
    MULTIPLY: tl.constexpr,
    TILE: tl.constexpr,
    WORDS: tl.constexpr,
):
    """out (B, count_a, count_b, planes) int32 from a (B, count_a, planes, words) and b (B, count_b, planes, words).

    A program counts one TILE x TILE block of pairs of one plane of one image. SYMMETRIC: a and b are the same, and each
    block above the diagonal is stored below it too.
    """
    tiles_a, tiles_b = tl.cdiv(count_a, TILE), tl.cdiv(count_b, TILE)
    program = tl.program_id(0)
    tile_b = program % tiles_b
    tile_a = program // tiles_b % tiles_a
    plane = program // tiles_b // tiles_a % planes
    image = (program // tiles_b // tiles_a // planes).to(tl.int64)
    i = tile_a * TILE + tl.arange(0, TILE)
    j = tile_b * TILE + tl.arange(0, TILE)
    rows_a = a_ptr + ((image * count_a + i) * planes + plane) * words  # (TILE,)
    rows_b = b_ptr + ((image * count_b + j) * planes + plane) * words
    mine = tile_a <= tile_b if SYMMETRIC else True
    total = tl.zeros([TILE, TILE], tl.int32)
    for start in range(0, words if mine else 0, WORDS):
        word = start + tl.arange(0, WORDS)
        inside = (word < words)[None, :]
        left = tl.load(rows_a[:, None] + word[None, :], mask=(i < count_a)[:, None] & inside, other=0)
        right = tl.load(rows_b[:, None] + word[None, :], mask=(j < count_b)[:, None] & inside, other=0)
        if MULTIPLY:
            total = tl.dot(unpacked(left), tl.trans(unpacked(right)), total, out_dtype=tl.int32)
        else:
            both = (left[:, None, :] & right[None, :, :]).to(tl.uint32, bitcast=True)  # (TILE, TILE, WORDS)
            total += tl.sum(popcount(both), axis=2)
    real = (i < count_a)[:, None] & (j < count_b)[None, :] & mine
    pair = (image * count_a + i)[:, None] * count_b + j[None, :]
    tl.store(out_ptr + pair * planes + plane, total, mask=real)
    if SYMMETRIC:
        mirrored = (image * count_a + j)[None, :] * count_b + i[:, None]
        tl.store(out_ptr + mirrored * planes + plane, total, mask=real)


def launch_pairwise_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Packed int32 a (B, Na, K, words) and b (B, Nb, K, words) to exact counts int32 (B, Na, Nb, K)."""
    many = min(a.shape[1], b.shape[1]) >= FEWEST_MULTIPLIED
    return _launch(a, b, MULTIPLIED if many else COUNTED)


def _launch(a: Tensor, b: Tensor, method: dict[str, Any]) -> Tensor:
    images, count_a, planes, words = a.shape
    count_b = b.shape[1]
    out = a.new_empty((images, count_a, count_b, planes))
    grid = (images * planes * triton.cdiv(count_a, method["TILE"]) * triton.cdiv(count_b, method["TILE"]),)
    left = a.contiguous()
    right = left if b is a else b.contiguous()
    with torch.cuda.device_of(out):
        intersection_kernel[grid](out, left, right, count_a, count_b, planes, words, SYMMETRIC=b is a, **method)
    return out
