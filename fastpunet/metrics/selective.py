"""Whether uncertainty tells where the prediction is wrong: selective risk and sparsification."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fastpunet.metrics.mask_sets import RaggedMasks
from fastpunet.metrics.shares import Predictions, Shares, read_shares
from fastpunet.metrics.uncertainty import uncertainty_map


@dataclass(frozen=True, eq=False)
class SelectiveRisk:
    """One float64 entry for each image, (B,), over its pixels that count; NaN where there are none.

    aurc   area under the curve of the mean error among the most certain pixels, over their share; low is good
    excess aurc less that of an order by the errors themselves (E-AURC); 0 is perfect
    auroc  probability that a wrong pixel is more uncertain than a right one; 1 is perfect, NaN if all are alike
    ause   area between the sparsification curve and the oracle's, both 1 at the start: excess / risk; 0 is perfect,
           NaN without errors
    risk   the mean error of all pixels
    """

    aurc: Tensor
    excess: Tensor
    auroc: Tensor
    ause: Tensor
    risk: Tensor


SELECTIVE_TERMS = tuple(field.name for field in fields(SelectiveRisk))


def selective_risk(
    samples: Predictions,
    references: RaggedMasks,
    *,
    uncertainty: str = "confidence",
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> SelectiveRisk:
    """How the error of the most probable class falls where uncertain pixels are left out.

    The error of a pixel is the share of graders that give it another class than the most probable one (the lowest of
    equal ones). Pixels of equal uncertainty are merged: each has their mean error, which is the average over all their
    orders.

    uncertainty  "confidence", 1 - max_c p_c; "entropy" of p; or "variance", sum_c p_c (1 - p_c)
    The other arguments and errors are as of `pixel_reliability`.

    Source: Geifman and El-Yaniv 2017, arXiv 1705.08500, for risk and coverage; Geifman, Uziel and El-Yaniv 2019, arXiv
    1805.08206, for E-AURC; Ilg et al. 2018, arXiv 1802.07095, for AUSE, here without steps.

    >>> samples = torch.tensor([[[[1, 1, 0, 0]], [[1, 0, 0, 0]]]])
    >>> found = selective_risk(samples, torch.tensor([[[[1, 1, 0, 0]]]]))  # wrong at the second pixel, and unsure
    >>> found.risk.item(), found.aurc.item(), found.excess.item(), found.auroc.item()
    (0.25, 0.0625, 0.0, 1.0)
    """
    return selective_risk_of(
        read_shares(samples, references, num_classes, weights, sample_weights, ignore), uncertainty
    )


def selective_risk_of(shares: Shares, uncertainty: str = "confidence") -> SelectiveRisk:
    """`selective_risk` of shares that have been read already."""
    shares = shares.every_class
    uncertain = uncertainty_map(shares, uncertainty).mul(1e9).round()  # equal up to rounding
    top = shares.predicted.argmax(1, keepdim=True)
    errors = (1 - shares.observed.gather(1, top)[:, 0]).clamp(0, 1)
    rows = []
    for u, error, counted in zip(uncertain, errors, shares.counted > 0, strict=True):
        rows.append(torch.stack(_of_one(u[counted], error[counted])))
    return SelectiveRisk(*torch.stack(rows, 1))


def _of_one(uncertain: Tensor, errors: Tensor) -> tuple[Tensor, ...]:
    """The terms of one image, scalars, of its pixels (P,)."""
    if not len(errors):
        return (errors.new_tensor(torch.nan),) * 5
    risk, aurc, best = errors.mean(), _area(uncertain, errors), _area(errors, errors)
    excess = aurc - best
    nothing = errors.new_tensor(torch.nan)
    return aurc, excess, _auroc(uncertain, errors), torch.where(risk > 0, excess / risk, nothing), risk


def _area(uncertain: Tensor, errors: Tensor) -> Tensor:
    """The mean of the selective risk over all numbers of pixels kept."""
    _, places, pixels = uncertain.unique(return_inverse=True, return_counts=True)
    merged = torch.zeros(len(pixels), dtype=errors.dtype, device=errors.device).scatter_add_(0, places, errors) / pixels
    in_order = merged.repeat_interleave(pixels)
    kept = torch.arange(1, len(in_order) + 1, device=errors.device)
    return (in_order.cumsum(0) / kept).mean()


def _auroc(uncertain: Tensor, errors: Tensor) -> Tensor:
    """Of pixels that are wrong with weight `errors` and right with the rest; ties count half."""
    _, places, pixels = uncertain.unique(return_inverse=True, return_counts=True)
    wrong = torch.zeros(len(pixels), dtype=errors.dtype, device=errors.device).scatter_add_(0, places, errors)
    right = pixels - wrong
    below = right.cumsum(0) - right / 2
    total = wrong.sum() * right.sum()
    return torch.where(total > 1e-12, (wrong * below).sum() / total, torch.nan)
