"""How well the best hypothesis fits each grader."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.metrics.conventions import Convention
from fastpunet.metrics.mask_sets import MaskSet, RaggedMasks, mask_weights, read_mask_set
from fastpunet.metrics.pairs import class_ious


def best_iou(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    convention: str | Convention = "kohl-lidc",
    weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """The IoU of each grader with the hypothesis that fits it best, averaged over graders: float64 (B,); 1 is perfect.

    The arguments are as of `energy_distance`; the IoU of a pair is the mean over the convention's classes, and weights
    are those of the mean over graders. It grows with the number of hypotheses: compare at equal n only. A grader of
    whom no pair has an IoU is left out of the mean; NaN where none is left.

    Source: "maximum Dice matching" of Rahman et al. 2023, arXiv 2304.04745, section 4.2, with IoU.
    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> samples = torch.tensor([[[[1, 1, 1, 1]], [[1, 1, 0, 0]]]])
    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[0, 0, 1, 1]]]])
    >>> best_iou(samples, graders)  # the second sample fits the first grader, the first sample half of the second
    tensor([0.7500], dtype=torch.float64)
    """
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    return _mean_of_best(class_ious(sample_set, reference_set, convention, ignore), reference_set, weights)


def best_dice(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    convention: str | Convention = "kohl-lidc",
    weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """As `best_iou`, with the Dice coefficient 2 IoU / (1 + IoU) of each class in the place of its IoU.

    >>> samples = torch.tensor([[[[1, 1, 1, 1]], [[1, 1, 0, 0]]]])
    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[0, 0, 1, 1]]]])
    >>> best_dice(samples, graders)  # (1 + 2/3) / 2
    tensor([0.8333], dtype=torch.float64)
    """
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    iou = class_ious(sample_set, reference_set, convention, ignore)
    return _mean_of_best(2 * iou / (1 + iou), reference_set, weights)


def _mean_of_best(overlap: Tensor, references: MaskSet, weights: Tensor | None) -> Tensor:
    """Overlap (B, N, M, classes) to (B,)."""
    best = overlap.nanmean(-1).nan_to_num(nan=-math.inf).amax(1)  # (B, M)
    known = mask_weights(references, weights) * (best >= 0)
    return torch.where(known > 0, known * best, 0.0).sum(1) / known.sum(1)
