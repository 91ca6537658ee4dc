# mypy: allow-untyped-defs, allow-incomplete-defs
"""Shared pixels of all pairs of bit-packed masks: AND and popcount for few masks, exact int8 matrix products for many.

For the products, bits become bytes once. That changes the order of the pixels, which their sum does not see. Pairs come
in square tiles, of which a set that meets itself needs those on and above the diagonal. If there are few tiles, several
programs share the pixels of one. What becomes of the counts is up to the one pass that adds such parts: see overlap.py.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

COUNTED: dict[str, Any] = {"TILE": 32, "WORDS": 8}
MULTIPLIED: dict[str, Any] = {"TILE": 128, "STEP": 128}
MULTIPLIED_OPTIONS = {"num_warps": 8, "num_stages": 3}
STEP_WORDS = MULTIPLIED["STEP"] // 32
# Masks of either set, from which on products take less time than popcounts, by the counts of instructions alone: a
# multiprocessor of an H100 counts 16 words a cycle, and products of fewer masks than a tile has are partly wasted.
FEWEST_MULTIPLIED = 128
PROGRAMS = 256  # among which the pixels of few tiles are divided: two a multiprocessor of an H100; not measured yet
MOST_SPLITS = 16  # of a tile's pixels, which a later pass adds one by one
EXPANDED_BYTES = 1 << 28  # of masks at a time
EXPANDED_BLOCK = 512  # words a program


class Parts(NamedTuple):
    """Shared pixels in tiles: int32 (B x K, splits, tiles, TILE, TILE), to be added over splits.

    The tiles are those of (Na, Nb), row by row; if symmetric, those with row <= column, column by column. What lies
    beyond the last mask of a set is undefined.
    """

    counts: Tensor
    symmetric: bool


@triton.jit
def popcount(x):
    """Bits set in each uint32, as int32. Compilers know this for a popcount, of which Triton's language has none."""
    x -= (x >> 1) & 0x55555555
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    return ((((x + (x >> 4)) & 0x0F0F0F0F) * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def tile_place(tile, tiles_b, symmetric):
    """Row and column of a tile, as `Parts` numbers them."""
    column = ((tl.sqrt(8.0 * tile.to(tl.float32) + 1.0) - 1.0) * 0.5).to(tl.int32)  # rounded, so perhaps 1 off
    column -= (column * (column + 1) // 2 > tile).to(tl.int32)
    column += ((column + 1) * (column + 2) // 2 <= tile).to(tl.int32)
    row = tile - column * (column + 1) // 2
    return tl.where(symmetric != 0, row, tile // tiles_b), tl.where(symmetric != 0, column, tile % tiles_b)


@triton.jit(do_not_specialize=["count_a", "count_b", "planes", "words", "splits", "tiles", "symmetric"])
def count_kernel(
    parts_ptr,
    a_ptr,
    b_ptr,
    count_a,
    count_b,
    planes,
    words,
    splits,
    tiles,
    symmetric,
    TILE: tl.constexpr,
    WORDS: tl.constexpr,
):
    """`Parts` from packed a (B, count_a, planes, words) and b (B, count_b, planes, words).

    A program counts one tile of one plane of one image in one of the splits of the words.
    """
    tile_a, tile_b = tile_place(tl.program_id(0) % tiles, tl.cdiv(count_b, TILE), symmetric)
    split = tl.program_id(0) // tiles % splits
    plane = tl.program_id(0) // tiles // splits % planes
    image = (tl.program_id(0) // tiles // splits // planes).to(tl.int64)
    local = tl.arange(0, TILE)
    row_a = (image * count_a + tl.minimum(tile_a * TILE + local, count_a - 1)) * planes + plane
    row_b = (image * count_b + tl.minimum(tile_b * TILE + local, count_b - 1)) * planes + plane
    total = tl.zeros([TILE, TILE], tl.int32)
    end = (split + 1) * words // splits
    for start in range(split * words // splits, end, WORDS):
        for word in tl.static_range(WORDS):
            left = tl.load(a_ptr + row_a * words + start + word, mask=start + word < end, other=0)
            right = tl.load(b_ptr + row_b * words + start + word, mask=start + word < end, other=0)
            total += popcount((left[:, None] & right[None, :]).to(tl.uint32, bitcast=True))
    part = parts_ptr + tl.program_id(0).to(tl.int64) * (TILE * TILE)
    tl.store(part + local[:, None] * TILE + local[None, :], total)


@triton.jit(do_not_specialize=["first", "words", "run", "count"])
def expand_kernel(out_ptr, words_ptr, first, words, run, count, BLOCK: tl.constexpr):
    """Bytes of bits: out int32 (rows, run, 8), of the words first .. first + run of words int32 (rows, words).

    Element s of a word's eight holds the bits s, 8 + s, 16 + s and 24 + s as bytes of 0 or 1. Words beyond the last of
    a row are 0. count: rows x run.
    """
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column = first + i % run
    word = tl.load(words_ptr + (i // run).to(tl.int64) * words + column, mask=(i < count) & (column < words), other=0)
    shift = tl.arange(0, 8)[None, :]
    out = out_ptr + i.to(tl.int64)[:, None] * 8 + shift
    tl.store(out, (word[:, None] >> shift) & 0x01010101, mask=(i < count)[:, None])


@triton.jit(do_not_specialize=["count_a", "count_b", "planes", "steps", "splits", "tiles", "symmetric", "more"])
def multiply_kernel(
    parts_ptr,
    a_ptr,
    b_ptr,
    count_a,
    count_b,
    planes,
    steps,
    splits,
    tiles,
    symmetric,
    more,
    TILE: tl.constexpr,
    STEP: tl.constexpr,
):
    """`Parts` from a (B, count_a, planes, depth) and b (B, count_b, planes, depth), int8, depth = steps x STEP.

    A program multiplies the rows of one tile of one plane of one image over one of the splits of the depth. more: adds
    to what the parts hold already.
    """
    tile_a, tile_b = tile_place(tl.program_id(0) % tiles, tl.cdiv(count_b, TILE), symmetric)
    split = tl.program_id(0) // tiles % splits
    plane = tl.program_id(0) // tiles // splits % planes
    image = (tl.program_id(0) // tiles // splits // planes).to(tl.int64)
    local = tl.arange(0, TILE)
    row_a = (image * count_a + tl.minimum(tile_a * TILE + local, count_a - 1)) * planes + plane
    row_b = (image * count_b + tl.minimum(tile_b * TILE + local, count_b - 1)) * planes + plane
    k = tl.arange(0, STEP)
    left = a_ptr + row_a[:, None] * (steps * STEP) + k[None, :]
    right = b_ptr + row_b[None, :] * (steps * STEP) + k[:, None]
    part = parts_ptr + tl.program_id(0).to(tl.int64) * (TILE * TILE) + local[:, None] * TILE + local[None, :]
    total = tl.load(part, mask=more != 0, other=0)
    for step in range(split * steps // splits, (split + 1) * steps // splits):
        a = tl.load(left + step * STEP)
        b = tl.load(right + step * STEP)
        total = tl.dot(a, b, total, out_dtype=tl.int32)
    tl.store(part, total)


def shared_pixels(a: Tensor, b: Tensor) -> Parts:
    """`Parts` of contiguous packed masks int32 a (B, Na, K, words) and b (B, Nb, K, words)."""
    return _multiplied(a, b) if min(a.shape[1], b.shape[1]) >= FEWEST_MULTIPLIED else _counted(a, b)


def _counted(a: Tensor, b: Tensor) -> Parts:
    images, count_a, planes, words = a.shape
    side = COUNTED["TILE"]
    tiles = images * planes * _tiles(a, b, side)
    splits = _splits(tiles, words // COUNTED["WORDS"])
    parts = _empty_parts(a, b, splits, side)
    sizes = (count_a, b.shape[1], planes, words, splits, parts.shape[2], int(b is a))
    count_kernel[tiles * splits,](parts, a, b, *sizes, **COUNTED)
    return Parts(parts, b is a)


def _multiplied(a: Tensor, b: Tensor) -> Parts:
    images, count_a, planes, words = a.shape
    count_b = b.shape[1]
    step_bytes = 32 * STEP_WORDS * images * planes * max(count_a, count_b)
    at_once = max(1, EXPANDED_BYTES // max(1, step_bytes))  # steps
    steps = triton.cdiv(words, STEP_WORDS)
    tiles = images * planes * _tiles(a, b, MULTIPLIED["TILE"])
    splits = _splits(tiles, min(steps, at_once))
    parts = _empty_parts(a, b, splits, MULTIPLIED["TILE"])
    for first in range(0, steps, at_once):
        some = min(at_once, steps - first)
        left = _expanded(a, first, some)
        right = left if b is a else _expanded(b, first, some)
        sizes = (count_a, count_b, planes, some, splits, parts.shape[2], int(b is a), int(first > 0))
        multiply_kernel[tiles * splits,](parts, left, right, *sizes, **MULTIPLIED, **MULTIPLIED_OPTIONS)
    return Parts(parts, b is a)


def _splits(tiles: int, steps: int) -> int:
    """Among how many programs to divide the steps of a tile."""
    return max(1, min(PROGRAMS // max(1, tiles), steps, MOST_SPLITS))


def _tiles(a: Tensor, b: Tensor, tile: int) -> int:
    """How many tiles the pairs of one plane of one image make."""
    rows, columns = triton.cdiv(a.shape[1], tile), triton.cdiv(b.shape[1], tile)
    return rows * (rows + 1) // 2 if b is a else rows * columns


def _empty_parts(a: Tensor, b: Tensor, splits: int, tile: int) -> Tensor:
    return a.new_empty((a.shape[0] * a.shape[2], splits, _tiles(a, b, tile), tile, tile))


def _expanded(words: Tensor, first: int, steps: int) -> Tensor:
    """Bytes int8 (B, N, K, steps x STEP) of the words from the step `first` on."""
    run = steps * STEP_WORDS
    out = words.new_empty((*words.shape[:-1], 8 * run))
    count = out.numel() // 8
    sizes = (first * STEP_WORDS, words.shape[-1], run, count)
    expand_kernel[triton.cdiv(count, EXPANDED_BLOCK),](out, words, *sizes, BLOCK=EXPANDED_BLOCK)
    return out.view(torch.int8)
