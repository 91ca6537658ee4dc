"""The mean distance between the masks of a set, from pairs that are chosen at random, and how far off it can be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet_kernels import iou_of_pairs

RISK = 1e-6  # the probability that an interval does not hold


def mean_of_random_pairs(masks: Tensor, pairs: int, empty: float) -> tuple[Tensor, Tensor]:
    """The mean of d = 1 - (mean IoU over classes) over random pairs of different masks, and its margin, float64 (B,).

    masks: packed (B, N, K, words), N > 1. empty: the IoU of two empty masks, not NaN. The pairs are independent,
    and all are equally probable; they are a function of `pairs` and N alone. With probability 1 - RISK over their
    choice, the mean over all pairs is within the margin of that of these.

    Source: Maurer and Pontil 2009, arXiv 0907.3740, theorem 4 (an empirical Bernstein bound), for both sides at once.
    """
    many = masks.shape[1]
    generator = torch.Generator().manual_seed(pairs)
    first = torch.randint(many, (pairs,), generator=generator)
    second = (first + 1 + torch.randint(many - 1, (pairs,), generator=generator)) % many
    d = 1 - iou_of_pairs(masks, first.to(masks.device), second.to(masks.device), empty).mean(-1)
    surprise = math.log(4 / RISK)
    margin = (2 * d.var(1) * surprise / pairs).sqrt() + 7 * surprise / (3 * (pairs - 1))
    return d.mean(1), margin
