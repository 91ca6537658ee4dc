"""Pearson's correlation of maps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_NEGLIGIBLE_VARIANCE = 1e-12  # of shares: rounding of a map that is constant


def correlation(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Pearson's correlation along the last axis; NaN where x or y is constant, to rounding."""
    total = weights.sum(-1, keepdim=True)
    x, y = (a - (weights * a).sum(-1, keepdim=True) / total for a in (x, y))
    covariance, vx, vy = ((weights * product).sum(-1) for product in (x * y, x * x, y * y))
    negligible = _NEGLIGIBLE_VARIANCE * total[..., 0]
    return torch.where((vx > negligible) & (vy > negligible), covariance / (vx * vy).sqrt(), math.nan)
