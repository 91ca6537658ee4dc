"""Overlap of what most hypotheses say with what the graders say together."""

from __future__ import annotations

from torch import Tensor

from fastpunet.arguments import check_choice
from fastpunet.metrics.conventions import check_empty
from fastpunet.metrics.mask_sets import RaggedMasks
from fastpunet.metrics.shares import Predictions, Shares, read_shares
from fastpunet.metrics.soft_dice import dice_of_maps
from fastpunet.metrics.staple import staple

_ROUNDING = 1e-9  # of shares that are sums of weights, and of STAPLE where two graders contradict each other

RULES = ("majority", "unanimous", "staple")


def consensus_dice(
    samples: Predictions,
    references: RaggedMasks,
    *,
    rule: str = "majority",
    empty: float = 1.0,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """Dice of the pixels to which the hypotheses give more than 1/2 with the graders' consensus: float64 (B,).

    Of several classes, each by itself, the mean over 1 .. K - 1 of those that have a number.

    rule   "majority": the pixels to which more than half of the graders give the class.
           "unanimous": only pixels on which all graders agree count, as in CURVAS.
           "staple": the pixels whose probability by `staple` exceeds 1/2; then `weights` must be None
    empty  the Dice of two empty maps: 1.0, 0.0 or nan. CURVAS leaves out a class that no pixel has unanimously
    The other arguments and errors are as of `pixel_reliability`.

    Source: CURVAS 2024 (consensus_dice_score) for "unanimous"; Warfield et al. 2004 for STAPLE.

    >>> import torch
    >>> graders = torch.tensor([[[[1, 1, 1, 0]], [[1, 1, 0, 0]], [[1, 0, 0, 0]]]])
    >>> hypothesis = torch.tensor([[[[1, 1, 1, 1]]]])
    >>> consensus_dice(hypothesis, graders), consensus_dice(hypothesis, graders, rule="unanimous")  # 2 2/6, 2 1/3
    (tensor([0.6667], dtype=torch.float64), tensor([0.6667], dtype=torch.float64))
    """
    dice = _class_dice(samples, references, rule, empty, num_classes, weights, sample_weights, ignore)
    return dice.nanmean(1)


def consensus_iou(
    samples: Predictions,
    references: RaggedMasks,
    *,
    rule: str = "majority",
    empty: float = 1.0,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """As `consensus_dice`, with the IoU in the place of Dice.

    >>> import torch
    >>> consensus_iou(torch.tensor([[[[1, 1, 1, 1]]]]), torch.tensor([[[[1, 1, 0, 0]]]]))
    tensor([0.5000], dtype=torch.float64)
    """
    dice = _class_dice(samples, references, rule, empty, num_classes, weights, sample_weights, ignore)
    return (dice / (2 - dice)).nanmean(1)


def _class_dice(
    samples: Predictions,
    references: RaggedMasks,
    rule: str,
    empty: float,
    num_classes: int | None,
    weights: Tensor | None,
    sample_weights: Tensor | None,
    ignore: Tensor | None,
) -> Tensor:
    """float64 (B, classes)."""
    check_choice("rule", rule, RULES)
    check_empty(empty)
    if rule == "staple" and weights is not None:
        raise ValueError(
            'weights: got weights with rule="staple", expected None: STAPLE estimates its own; leave them out'
        )
    shares = read_shares(samples, references, num_classes, weights, sample_weights, ignore)
    if rule == "staple":
        truth = staple(references, num_classes=num_classes, ignore=ignore).flatten(2)
        shares = Shares(shares.predicted, truth, shares.counted)
    return class_consensus_of(shares, rule, empty)


def class_consensus_of(shares: Shares, rule: str = "majority", empty: float = 1.0) -> Tensor:
    """The Dice of each foreground class, float64 (B, classes), of shares whose observed ones are the rule's."""
    shares = shares.foreground
    predicted, truth = (part > 0.5 + _ROUNDING for part in (shares.predicted, shares.observed))
    if rule == "unanimous":
        agreed = (shares.observed <= _ROUNDING) | (shares.observed >= 1 - _ROUNDING)
        predicted, truth = predicted & agreed, truth & agreed
    return dice_of_maps(predicted, truth, empty)
