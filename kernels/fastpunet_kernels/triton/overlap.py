# mypy: allow-untyped-defs, allow-incomplete-defs
"""One pass over the pixels that pairs of masks share, to their counts, their IoU, or the sums of their distances.

A set that meets itself has its areas on the diagonal of the counts. Other areas are sums over rows of words.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastpunet_kernels.triton.intersection import Parts, popcount, shared_pixels, tile_place

BLOCK = 32  # x BLOCK pairs a program, which divides the tiles
AREA_BLOCK = 512  # words at a time
PAIRS = 1 << 26  # times classes, whose counts distance_sums holds at a time: 256 MiB

_SIZES = ["count_a", "count_b", "planes", "splits", "tiles"]


@triton.jit(do_not_specialize=["words"])
def area_kernel(out_ptr, words_ptr, words, AREA_BLOCK: tl.constexpr):
    """Bits set in each row of int32 (rows, words), int32 (rows,); a program counts one row."""
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros([AREA_BLOCK], tl.int32)
    for start in range(0, words, AREA_BLOCK):
        column = start + tl.arange(0, AREA_BLOCK)
        word = tl.load(words_ptr + row * words + column, mask=column < words, other=0)
        total += popcount(word.to(tl.uint32, bitcast=True))
    tl.store(out_ptr + row, tl.sum(total))


@triton.jit
def block_place(tile, block, count_b, SYMMETRIC: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr):
    """Rows i (BLOCK,) and columns j of the pairs of a block of a tile, and whether the tile is off the diagonal."""
    tile_a, tile_b = tile_place(tile, tl.cdiv(count_b, TILE), SYMMETRIC)
    blocks: tl.constexpr = TILE // BLOCK
    i = tile_a * TILE + block // blocks * BLOCK + tl.arange(0, BLOCK)
    j = tile_b * TILE + block % blocks * BLOCK + tl.arange(0, BLOCK)
    return i, j, tile_a != tile_b


@triton.jit
def added(parts_ptr, place, splits, tiles, TILE: tl.constexpr):
    """The counts at a place in a plane of `Parts`, added over the splits."""
    total = tl.load(parts_ptr + place)
    for split in range(1, splits):
        total += tl.load(parts_ptr + tl.cast(split, tl.int64) * tiles * (TILE * TILE) + place)
    return total


@triton.jit
def shared_of(parts_ptr, plane, tile, i, j, splits, tiles, TILE: tl.constexpr):
    """Pixels that the masks i and j of a tile share in a plane, (BLOCK, BLOCK)."""
    place = tl.cast(tile, tl.int64) * (TILE * TILE) + (i % TILE)[:, None] * TILE + (j % TILE)[None, :]
    return added(parts_ptr + plane * splits * tiles * (TILE * TILE), place, splits, tiles, TILE)


@triton.jit
def areas_of(
    area_ptr, parts_ptr, image, plane, planes, i, count, splits, tiles, SYMMETRIC: tl.constexpr, TILE: tl.constexpr
):
    """Areas of the masks i in a plane of an image, (BLOCK,): from the diagonal of the parts if symmetric."""
    if SYMMETRIC:
        tile = (i // TILE).to(tl.int64)
        place = tile * (tile + 3) // 2 * (TILE * TILE) + i % TILE * (TILE + 1)
        parts_ptr += (image * planes + plane) * splits * tiles * (TILE * TILE)
        return added(parts_ptr, tl.where(i < count, place, 0), splits, tiles, TILE)
    else:
        return tl.load(area_ptr + (image * count + i) * planes + plane, mask=i < count, other=0)


@triton.jit(do_not_specialize=_SIZES)
def overlap_kernel(
    out_ptr,
    parts_ptr,
    area_a_ptr,
    area_b_ptr,
    empty,
    count_a,
    count_b,
    planes,
    splits,
    tiles,
    SYMMETRIC: tl.constexpr,
    IOU: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out (B, count_a, count_b, planes) of `Parts`: int32 counts, or float32 IoU.

    area_a (B, count_a, planes), area_b (B, count_b, planes); None without IOU, and if symmetric.
    """
    blocks: tl.constexpr = (TILE // BLOCK) * (TILE // BLOCK)
    tile = tl.program_id(0) // blocks % tiles
    plane = tl.program_id(0) // blocks // tiles % planes
    image = (tl.program_id(0) // blocks // tiles // planes).to(tl.int64)
    i, j, mirrored = block_place(tile, tl.program_id(0) % blocks, count_b, SYMMETRIC, TILE, BLOCK)
    result = shared_of(parts_ptr, image * planes + plane, tile, i, j, splits, tiles, TILE)
    if IOU:
        area_a = areas_of(area_a_ptr, parts_ptr, image, plane, planes, i, count_a, splits, tiles, SYMMETRIC, TILE)
        area_b = areas_of(area_b_ptr, parts_ptr, image, plane, planes, j, count_b, splits, tiles, SYMMETRIC, TILE)
        union = area_a[:, None] + area_b[None, :] - result
        iou = tl.div_rn(result.to(tl.float32), tl.where(union == 0, 1, union).to(tl.float32))
        result = tl.where(union == 0, empty, iou)
    real = (i < count_a)[:, None] & (j < count_b)[None, :]
    pair = (image * count_a + i)[:, None] * count_b + j[None, :]
    tl.store(out_ptr + pair * planes + plane, result, mask=real)
    if SYMMETRIC:
        pair = (image * count_b + j)[:, None] * count_a + i[None, :]
        tl.store(out_ptr + pair * planes + plane, tl.trans(result), mask=tl.trans(real & mirrored))


@triton.jit(do_not_specialize=_SIZES)
def distance_kernel(
    out_ptr,
    parts_ptr,
    area_a_ptr,
    area_b_ptr,
    weights_a_ptr,
    weights_b_ptr,
    empty,
    count_a,
    count_b,
    planes,
    splits,
    tiles,
    SYMMETRIC: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out float64 (programs, 2), of `Parts`: a program's share of the two sums of `reference.distance_sums`.

    area_a (B, count_a, planes), area_b (B, count_b, planes), None if symmetric; weights_a float64 (B, count_a),
    weights_b (B, count_b).
    """
    blocks: tl.constexpr = (TILE // BLOCK) * (TILE // BLOCK)
    tile = tl.program_id(0) // blocks % tiles
    image = (tl.program_id(0) // blocks // tiles).to(tl.int64)
    i, j, mirrored = block_place(tile, tl.program_id(0) % blocks, count_b, SYMMETRIC, TILE, BLOCK)
    total = tl.zeros([BLOCK, BLOCK], tl.float64)
    classes = tl.zeros([BLOCK, BLOCK], tl.float64)
    for plane in range(planes):
        shared = shared_of(parts_ptr, image * planes + plane, tile, i, j, splits, tiles, TILE)
        area_a = areas_of(area_a_ptr, parts_ptr, image, plane, planes, i, count_a, splits, tiles, SYMMETRIC, TILE)
        area_b = areas_of(area_b_ptr, parts_ptr, image, plane, planes, j, count_b, splits, tiles, SYMMETRIC, TILE)
        union = area_a[:, None] + area_b[None, :] - shared
        iou = shared.to(tl.float64) / tl.where(union == 0, 1, union).to(tl.float64)
        iou = tl.where(union == 0, empty, iou)
        known = iou == iou
        total += tl.where(known, iou, 0.0)
        classes += tl.where(known, 1.0, 0.0)
    weight_a = tl.load(weights_a_ptr + image * count_a + i, mask=i < count_a, other=0.0)
    weight_b = tl.load(weights_b_ptr + image * count_b + j, mask=j < count_b, other=0.0)
    weight = weight_a[:, None] * weight_b[None, :]
    if SYMMETRIC:
        other_a = tl.load(weights_a_ptr + image * count_a + j, mask=(j < count_a) & mirrored, other=0.0)
        other_b = tl.load(weights_b_ptr + image * count_b + i, mask=(i < count_b) & mirrored, other=0.0)
        weight += other_b[:, None] * other_a[None, :]
    weight = tl.where(classes > 0, weight, 0.0)
    distance = 1 - total / tl.maximum(classes, 1.0)
    out = out_ptr + tl.program_id(0).to(tl.int64) * 2
    tl.store(out, tl.sum(weight * distance))
    tl.store(out + 1, tl.sum(weight))


def launch_area(words: Tensor) -> Tensor:
    """Pixels of packed int32 (B, N, K, words), int32 (B, N, K)."""
    out = words.new_empty(words.shape[:-1])
    with torch.cuda.device_of(words):
        area_kernel[out.numel(),](out, words.contiguous(), words.shape[-1], AREA_BLOCK=AREA_BLOCK)
    return out


def launch_pairwise_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Packed int32 a (B, Na, K, words) and b (B, Nb, K, words) to exact counts int32 (B, Na, Nb, K)."""
    out = a.new_empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]))
    return _overlaps(out, a, b, 0.0, iou=False)


def launch_mask_iou(a: Tensor, b: Tensor, empty: float) -> Tensor:
    """IoU of packed int32 a (B, Na, K, words) and b (B, Nb, K, words), float32 (B, Na, Nb, K)."""
    out = a.new_empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]), dtype=torch.float32)
    return _overlaps(out, a, b, empty, iou=True)


def launch_distance_sums(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float) -> Tensor:
    """`reference.distance_sums`, float64 (B, 2); rows of pairs at a time if there are very many."""
    rows = max(1, PAIRS // (a.shape[0] * b.shape[1] * b.shape[2]))
    if rows >= a.shape[1]:
        return _distances(a, b, weights_a, weights_b, empty)
    parts = zip(a.split(rows, dim=1), weights_a.split(rows, dim=1), strict=True)
    return torch.stack([_distances(some, b, weights, weights_b, empty) for some, weights in parts]).sum(0)


def _overlaps(out: Tensor, a: Tensor, b: Tensor, empty: float, *, iou: bool) -> Tensor:
    with torch.cuda.device_of(a):
        a, b = _contiguous(a, b)
        parts = shared_pixels(a, b)
        areas = _areas(a, b) if iou else (None, None)
        programs, sizes, constants = _shape(parts, a, b)
        overlap_kernel[programs * a.shape[2],](out, parts.counts, *areas, empty, *sizes, IOU=iou, **constants)
    return out


def _distances(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float) -> Tensor:
    with torch.cuda.device_of(a):
        a, b = _contiguous(a, b)
        parts = shared_pixels(a, b)
        programs, sizes, constants = _shape(parts, a, b)
        sums = weights_a.new_empty((programs, 2))
        weights = weights_a.contiguous(), weights_b.contiguous()
        distance_kernel[programs,](sums, parts.counts, *_areas(a, b), *weights, empty, *sizes, **constants)
    return sums.view(a.shape[0], -1, 2).sum(1)


def _contiguous(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    left = a.contiguous()
    return left, left if b is a else b.contiguous()


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if b is a else (launch_area(a), launch_area(b))


def _shape(parts: Parts, a: Tensor, b: Tensor) -> tuple[int, tuple[int, ...], dict[str, Any]]:
    """Programs for one plane of all images, the run-time sizes, and the compile-time ones, of the kernels above."""
    _, splits, tiles, tile, _ = parts.counts.shape
    sizes = (a.shape[1], b.shape[1], a.shape[2], splits, tiles)
    constants = {"SYMMETRIC": parts.symmetric, "TILE": tile, "BLOCK": BLOCK}
    return a.shape[0] * tiles * (tile // BLOCK) ** 2, sizes, constants
