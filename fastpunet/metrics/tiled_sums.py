"""Sums of distances over pairs of masks, some pairs at a time: a million masks have too many pairs for one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from fastpunet_kernels import distance_sums, mask_iou

WeightedMasks = tuple[Tensor, Tensor]  # packed masks (B, N, K, words) and their weights (B, N)

# Pairs, and words of theirs, that are compared in one call. It takes less than a second, so that Python hears of an
# interruption soon.
_PAIRS = {"cpu": 1 << 22, "cuda": 1 << 28}
_WORDS = {"cpu": 1 << 32, "cuda": 1 << 35}
_COUNTS = {"cpu": 1 << 32, "cuda": 1 << 28}  # pairs and classes: a GPU kernel holds 1 GiB of counts, the CPU's none
_OVERLAPS = {"cpu": 1 << 20, "cuda": 1 << 25}  # pairs and classes, whose overlaps are held for 1 - Dice


def tiled_distance_sums(a: WeightedMasks, b: WeightedMasks, empty: float, overlap: str = "iou") -> Tensor:
    """`fastpunet_kernels.distance_sums` of all pairs, float64 (B, 2); half of the work where b is a itself.

    overlap: "iou", or "dice" for the distance 1 - Dice. A set and itself go to the CPU's kernels whole: they merge what
    is alike in it, and can be interrupted.
    """
    if a is b and overlap == "iou" and a[0].device.type == "cpu":
        return distance_sums(a[0], a[0], a[1], a[1], empty)
    images, _, classes, words = a[0].shape
    device = a[0].device
    counts = min(_budget(_COUNTS, device), _budget(_WORDS, device) // words)
    pairs = min(_budget(_PAIRS, device), counts // classes) // images
    sums: Callable[..., Tensor] = distance_sums
    if overlap == "dice":
        sums, pairs = _dice_sums, min(pairs, _budget(_OVERLAPS, device) // (classes * images))
    columns = min(b[0].shape[1], max(1, math.isqrt(pairs)))
    rows = columns if a is b else max(1, pairs // columns)
    if a[0].shape[1] <= rows and b[0].shape[1] <= columns:
        return sums(a[0], b[0], a[1], b[1], empty)
    total = torch.zeros(images, 2, dtype=torch.float64, device=device)
    for i, row in enumerate(_tiles(a, rows)):
        for j, column in enumerate(_tiles(b, columns)):
            if a is not b:
                total += sums(row[0], column[0], row[1], column[1], empty)
            elif i == j:  # the same tensors twice, which the kernels compare in half the time
                total += sums(row[0], row[0], row[1], row[1], empty)
            elif i < j:
                total += 2 * sums(row[0], column[0], row[1], column[1], empty)
    return total


def _dice_sums(a: Tensor, b: Tensor, a_weights: Tensor, b_weights: Tensor, empty: float) -> Tensor:
    """`distance_sums` with the Dice coefficient 2 IoU / (1 + IoU) in the place of the IoU."""
    iou = mask_iou(a, b, empty).double()
    distances = 1 - (2 * iou / (1 + iou)).nanmean(-1)
    weights = a_weights[:, :, None] * b_weights[:, None] * ~distances.isnan()
    return torch.stack([(weights * distances.nan_to_num()).sum((1, 2)), weights.sum((1, 2))], dim=1)


def _tiles(masks: WeightedMasks, length: int) -> Iterator[WeightedMasks]:
    parts = zip(masks[0].split(length, dim=1), masks[1].split(length, dim=1), strict=True)
    return ((words.contiguous(), weights.contiguous()) for words, weights in parts)


def _budget(of: dict[str, int], device: torch.device) -> int:
    return of.get(device.type, of["cpu"])
