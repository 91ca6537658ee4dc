# mypy: allow-untyped-defs, allow-incomplete-defs
"""One pass over the pixels that pairs of masks share, to their counts, their IoU, or the sums of their distances.

A set that meets itself has its areas on the diagonal of the counts. Other areas are sums over rows of words.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastpunet_kernels.triton.intersection import Parts, popcount, shared_pixels, tile_place

BLOCK = 32  # x BLOCK pairs a program, which divides the tiles
DISTANCE_OPTIONS = {"num_warps": 8}  # float64 takes many registers
AREA_BLOCK = 512  # words at a time
PAIRS = 1 << 28  # times classes, whose counts distance_sums holds at a time: 1 GiB

_SIZES = ["count_a", "count_b", "planes", "splits", "tiles", "side", "symmetric"]


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
def block_place(tile, block, count_b, symmetric, side, BLOCK: tl.constexpr):
    """Rows i (BLOCK,) and columns j of the pairs of a block of a tile, and whether the tile has a mirrored one."""
    tile_a, tile_b = tile_place(tile, tl.cdiv(count_b, side), symmetric)
    blocks = side // BLOCK
    i = tile_a * side + block // blocks * BLOCK + tl.arange(0, BLOCK)
    j = tile_b * side + block % blocks * BLOCK + tl.arange(0, BLOCK)
    return i, j, (symmetric != 0) & (tile_a != tile_b)


@triton.jit
def added(parts_ptr, place, splits, size):
    """The counts at a place in a plane of `Parts`, added over the splits, each of that size."""
    total = tl.load(parts_ptr + place)
    for split in range(1, splits):
        total += tl.load(parts_ptr + split * size + place)
    return total


@triton.jit
def shared_of(parts_ptr, tile, i, j, splits, size, side):
    """Pixels that the masks i and j of a tile share, (BLOCK, BLOCK)."""
    place = tl.cast(tile, tl.int64) * (side * side) + (i % side)[:, None] * side + (j % side)[None, :]
    return added(parts_ptr, place, splits, size)


@triton.jit
def areas_of(area_ptr, parts_ptr, image, plane, planes, i, count, splits, size, symmetric, side):
    """Areas of the masks i in a plane of an image, (BLOCK,): from the diagonal of the parts if symmetric."""
    if symmetric != 0:
        tile = (i // side).to(tl.int64)
        place = tile * (tile + 3) // 2 * (side * side) + i % side * (side + 1)
        area = added(parts_ptr, tl.where(i < count, place, 0), splits, size)
    else:
        area = tl.load(area_ptr + (image * count + i) * planes + plane, mask=i < count, other=0)
    return area


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
    side,
    symmetric,
    IOU: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out (B, count_a, count_b, planes) of `Parts`: int32 counts, or float32 IoU.

    side: of a tile. area_a (B, count_a, planes), area_b (B, count_b, planes): not read without IOU, nor if symmetric.
    """
    blocks = (side // BLOCK) * (side // BLOCK)
    size = tl.cast(tiles, tl.int64) * (side * side)
    tile = tl.program_id(0) // blocks % tiles
    plane = tl.program_id(0) // blocks // tiles % planes
    image = (tl.program_id(0) // blocks // tiles // planes).to(tl.int64)
    i, j, mirrored = block_place(tile, tl.program_id(0) % blocks, count_b, symmetric, side, BLOCK)
    parts_ptr += (image * planes + plane) * splits * size
    result = shared_of(parts_ptr, tile, i, j, splits, size, side)
    if IOU:
        area_a = areas_of(area_a_ptr, parts_ptr, image, plane, planes, i, count_a, splits, size, symmetric, side)
        area_b = areas_of(area_b_ptr, parts_ptr, image, plane, planes, j, count_b, splits, size, symmetric, side)
        union = area_a[:, None] + area_b[None, :] - result
        iou = tl.div_rn(result.to(tl.float32), tl.where(union == 0, 1, union).to(tl.float32))
        result = tl.where(union == 0, empty, iou)
    real = (i < count_a)[:, None] & (j < count_b)[None, :]
    pair = (image * count_a + i)[:, None] * count_b + j[None, :]
    tl.store(out_ptr + pair * planes + plane, result, mask=real)
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
    side,
    symmetric,
    BLOCK: tl.constexpr,
):
    """out float64 (programs, 2), of `Parts`: a program's share of the two sums of `reference.distance_sums`.

    side: of a tile. area_a (B, count_a, planes), area_b (B, count_b, planes): not read if symmetric; weights_a float64
    (B, count_a), weights_b (B, count_b).
    """
    blocks = (side // BLOCK) * (side // BLOCK)
    size = tl.cast(tiles, tl.int64) * (side * side)
    tile = tl.program_id(0) // blocks % tiles
    image = (tl.program_id(0) // blocks // tiles).to(tl.int64)
    i, j, mirrored = block_place(tile, tl.program_id(0) % blocks, count_b, symmetric, side, BLOCK)
    total = tl.zeros([BLOCK, BLOCK], tl.float64)
    classes = tl.zeros([BLOCK, BLOCK], tl.float64)
    for plane in range(planes):
        part_ptr = parts_ptr + (image * planes + plane) * splits * size
        shared = shared_of(part_ptr, tile, i, j, splits, size, side)
        area_a = areas_of(area_a_ptr, part_ptr, image, plane, planes, i, count_a, splits, size, symmetric, side)
        area_b = areas_of(area_b_ptr, part_ptr, image, plane, planes, j, count_b, splits, size, symmetric, side)
        union = area_a[:, None] + area_b[None, :] - shared
        iou = shared.to(tl.float64) / tl.where(union == 0, 1, union).to(tl.float64)
        iou = tl.where(union == 0, empty, iou)
        known = iou == iou
        total += tl.where(known, iou, 0.0)
        classes += tl.where(known, 1.0, 0.0)
    weight_a = tl.load(weights_a_ptr + image * count_a + i, mask=i < count_a, other=0.0)
    weight_b = tl.load(weights_b_ptr + image * count_b + j, mask=j < count_b, other=0.0)
    weight = weight_a[:, None] * weight_b[None, :]
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
        areas = _areas(parts, a, b) if iou else (parts.counts, parts.counts)
        programs, sizes = _sizes(parts, a, b)
        overlap_kernel[programs * a.shape[2],](out, parts.counts, *areas, empty, *sizes, IOU=iou, BLOCK=BLOCK)
    return out


def _distances(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float) -> Tensor:
    with torch.cuda.device_of(a):
        a, b = _contiguous(a, b)
        parts = shared_pixels(a, b)
        programs, sizes = _sizes(parts, a, b)
        sums = weights_a.new_empty((programs, 2))
        weights = weights_a.contiguous(), weights_b.contiguous()
        areas = _areas(parts, a, b)
        distance_kernel[programs,](sums, parts.counts, *areas, *weights, empty, *sizes, BLOCK=BLOCK, **DISTANCE_OPTIONS)
    return sums.view(a.shape[0], -1, 2).sum(1)


def _contiguous(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    left = a.contiguous()
    return left, left if b is a else b.contiguous()


def _areas(parts: Parts, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Areas of both sets, or, where the kernels find them on the diagonal of the parts, anything."""
    return (parts.counts, parts.counts) if parts.symmetric else (launch_area(a), launch_area(b))


def _sizes(parts: Parts, a: Tensor, b: Tensor) -> tuple[int, tuple[int, ...]]:
    """Programs for one plane of all images, and the sizes that the kernels above take."""
    _, splits, tiles, side, _ = parts.counts.shape
    sizes = (a.shape[1], b.shape[1], a.shape[2], splits, tiles, side, int(parts.symmetric))
    return a.shape[0] * tiles * (side // BLOCK) ** 2, sizes
