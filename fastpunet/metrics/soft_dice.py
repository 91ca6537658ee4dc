"""Dice of probability and share of graders, thresholded alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet.arguments import is_number
from fastpunet.metrics.mask_sets import RaggedMasks
from fastpunet.metrics.shares import Predictions, Shares, read_shares

THRESHOLDS: dict[str, tuple[float, ...]] = {
    "d-persona": (0.1, 0.3, 0.5, 0.7, 0.9),
    "qubiq": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "pdacvi": (0.1, 0.24, 0.38, 0.52, 0.66, 0.8),  # linspace(0.1, 0.8, 6)
}


def soft_dice(
    samples: Predictions,
    references: RaggedMasks,
    *,
    thresholds: str | Sequence[float] = "d-persona",
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """D_soft, float64 (B,): the mean over thresholds t of Dice(p > t, y > t); 1 is perfect.

    p is the mean probability of a pixel, y the share of graders; both must exceed t. Two empty maps have Dice 1. Of
    several classes, the mean over 1 .. K - 1.

    thresholds  "d-persona" .1 .3 .5 .7 .9, "qubiq" .1 to .9 by .1, "pdacvi" six from .1 to .8; or numbers of 0 to 1
    The other arguments and errors are as of `pixel_reliability`.

    Source: Ji et al. 2021 (MRNet). Thresholds are those of the code of Wu et al. 2024 (D-Persona, dice_at_thresh), of
    the QUBIQ challenge, arXiv 2405.18435, and of the code of CURVAS-PDACVI (merged_dice_score).

    >>> samples = torch.tensor([[[[1, 1, 0, 0]], [[1, 0, 0, 0]]]])  # p is 1, 1/2, 0, 0
    >>> soft_dice(samples, torch.tensor([[[[1, 1, 0, 0]]]]))  # Dice 1 for t = .1 and .3, then 2/3
    tensor([0.8000], dtype=torch.float64)
    """
    return soft_dice_of(read_shares(samples, references, num_classes, weights, sample_weights, ignore), thresholds)


def soft_dice_of(shares: Shares, thresholds: str | Sequence[float] = "d-persona") -> Tensor:
    """`soft_dice` of shares that have been read already."""
    shares = shares.foreground
    values = [dice_of_maps(shares.predicted > t, shares.observed > t).mean(1) for t in check_thresholds(thresholds)]
    return torch.stack(values).mean(0)


def dice_of_maps(a: Tensor, b: Tensor, empty: float = 1.0) -> Tensor:
    """The Dice coefficient along the last axis of bool maps, float64; `empty` where both are."""
    both, total = (a & b).sum(-1).double(), (a.sum(-1) + b.sum(-1)).double()
    return torch.where(total > 0, 2 * both / total, empty)


def check_thresholds(thresholds: object) -> tuple[float, ...]:
    if isinstance(thresholds, str) and thresholds in THRESHOLDS:
        return THRESHOLDS[thresholds]
    numbers = tuple(thresholds) if isinstance(thresholds, Sequence) and not isinstance(thresholds, str) else ()
    if not numbers or not all(is_number(t) and 0 <= t < 1 for t in numbers):
        raise ValueError(
            f"thresholds: got {thresholds!r}, expected one of {', '.join(THRESHOLDS)}, or numbers from 0 to below 1"
        )
    return numbers
