"""Uncertainty maps, and their correlation with the disagreement of graders."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.arguments import check_choice
from fastpunet.metrics.correlation import correlation
from fastpunet.metrics.mask_sets import RaggedMasks
from fastpunet.metrics.shares import Predictions, Shares, read_shares

UNCERTAINTIES = ("confidence", "entropy", "variance")


def uncertainty_ncc(
    samples: Predictions,
    references: RaggedMasks,
    *,
    uncertainty: str = "entropy",
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """Correlation over pixels of an uncertainty map with the variance of the graders' masks: float64 (B,), 1 is best.

    The graders' variance at a pixel is sum_c y_c (1 - y_c) up to a factor that cancels, so that the ddof of the
    variance does not matter. NaN where either map is constant, as where all graders agree.

    uncertainty  of the mean probability p: "entropy", "variance", sum_c p_c (1 - p_c), or "confidence", 1 - max_c p_c
    The other arguments and errors are as of `pixel_reliability`.

    Source: Kahl et al. 2024 (ValUES), arXiv 2401.08501, for ambiguity; others call it sNCC.

    >>> samples = torch.tensor([[[[0, 0, 1, 1]], [[0, 0, 0, 1]]]])
    >>> uncertainty_ncc(samples, torch.tensor([[[[0, 0, 1, 1]], [[0, 0, 0, 1]]]]))
    tensor([1.], dtype=torch.float64)
    """
    return uncertainty_ncc_of(
        read_shares(samples, references, num_classes, weights, sample_weights, ignore), uncertainty
    )


def uncertainty_ncc_of(shares: Shares, uncertainty: str = "entropy") -> Tensor:
    """`uncertainty_ncc` of shares that have been read already."""
    disagreement = (shares.every_class.observed * (1 - shares.every_class.observed)).sum(1)
    return correlation(uncertainty_map(shares, uncertainty), disagreement, shares.counted)


def uncertainty_map(shares: Shares, uncertainty: str) -> Tensor:
    """float64 (B, P); see `uncertainty_ncc`."""
    check_choice("uncertainty", uncertainty, UNCERTAINTIES)
    p = shares.every_class.predicted
    if uncertainty == "confidence":
        return 1 - p.amax(1)
    return -torch.xlogy(p, p).sum(1) if uncertainty == "entropy" else (p * (1 - p)).sum(1)
