# mypy: allow-untyped-defs, allow-incomplete-defs
"""Pairwise overlap of bit-packed masks: AND, popcount, sum."""

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 32  # masks of a and of b per program
WORDS = 4  # words of each mask at a time; with 8, ptxas spills


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
def intersection_kernel(
    out_ptr, a_ptr, b_ptr, count_a, count_b, planes, words, TILE: tl.constexpr, WORDS: tl.constexpr
):
    """out (B, count_a, count_b, planes) int32 from a (B, count_a, planes, words) and b (B, count_b, planes, words).

    A program counts one TILE x TILE block of pairs of one plane of one image.
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
    total = tl.zeros([TILE, TILE], tl.int32)
    for start in range(0, words, WORDS):
        word = start + tl.arange(0, WORDS)
        inside = (word < words)[None, :]
        left = tl.load(rows_a[:, None] + word[None, :], mask=(i < count_a)[:, None] & inside, other=0)
        right = tl.load(rows_b[:, None] + word[None, :], mask=(j < count_b)[:, None] & inside, other=0)
        both = (left[:, None, :] & right[None, :, :]).to(tl.uint32, bitcast=True)  # (TILE, TILE, WORDS)
        total += tl.sum(popcount(both), axis=2)
    pair = (image * count_a + i)[:, None] * count_b + j[None, :]
    tl.store(out_ptr + pair * planes + plane, total, mask=(i < count_a)[:, None] & (j < count_b)[None, :])


def launch_pairwise_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Packed int32 a (B, Na, K, words) and b (B, Nb, K, words) to exact counts int32 (B, Na, Nb, K)."""
    images, count_a, planes, words = a.shape
    count_b = b.shape[1]
    out = a.new_empty((images, count_a, count_b, planes))
    grid = (images * planes * triton.cdiv(count_a, TILE) * triton.cdiv(count_b, TILE),)
    with torch.cuda.device_of(out):
        intersection_kernel[grid](
            out, a.contiguous(), b.contiguous(), count_a, count_b, planes, words, TILE=TILE, WORDS=WORDS
        )
    return out
