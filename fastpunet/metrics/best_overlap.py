"""How well the best hypothesis fits each grader, or the best grader each hypothesis."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.arguments import check_choice
from fastpunet.metrics.conventions import Convention
from fastpunet.metrics.mask_sets import RaggedMasks, mask_weights, read_mask_set
from fastpunet.metrics.pairs import class_ious, dice_of

SIDES = ("references", "samples")


def best_iou(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    of: str = "references",
    convention: str | Convention = "kohl-lidc",
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """The IoU of each grader with the hypothesis that fits it best, averaged over graders: float64 (B,); 1 is perfect.

    of: "references"; or "samples" for the IoU of each hypothesis with the grader that fits it best, averaged over
    hypotheses, by `sample_weights` if given. The other arguments are as of `energy_distance`; the IoU of a pair is the
    mean over the convention's classes, and `weights` are those of the mean over graders. The mean over graders grows
    with the number of hypotheses: compare at equal n only. A mask of which no pair has an IoU is left out of the mean;
    NaN where none is left.

    Source: "maximum Dice matching" of Rahman et al. 2023, arXiv 2304.04745, section 4.2, with IoU. Wu et al. 2024
    (D-Persona, dice_at_all) average over hypotheses instead and call that D_max.
    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> samples = torch.tensor([[[[1, 1, 1, 1]], [[1, 1, 0, 0]]]])
    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[0, 0, 1, 1]]]])
    >>> best_iou(samples, graders)  # the second sample fits the first grader, the first sample half of the second
    tensor([0.7500], dtype=torch.float64)
    """
    return _best(samples, references, of, convention, weights, sample_weights, ignore, dice=False)


def best_dice(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    of: str = "references",
    convention: str | Convention = "kohl-lidc",
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """As `best_iou`, with the Dice coefficient 2 IoU / (1 + IoU) of each class in the place of its IoU.

    >>> samples = torch.tensor([[[[1, 1, 1, 1]], [[1, 1, 0, 0]]]])
    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[0, 0, 1, 1]]]])
    >>> best_dice(samples, graders)  # (1 + 2/3) / 2
    tensor([0.8333], dtype=torch.float64)
    """
    return _best(samples, references, of, convention, weights, sample_weights, ignore, dice=True)


def _best(
    samples: RaggedMasks,
    references: RaggedMasks,
    of: str,
    convention: str | Convention,
    weights: Tensor | None,
    sample_weights: Tensor | None,
    ignore: Tensor | None,
    dice: bool,
) -> Tensor:
    check_choice("of", of, SIDES)
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    iou = class_ious(sample_set, reference_set, convention, ignore)
    p, q = mask_weights(sample_set, sample_weights, "sample_weights"), mask_weights(reference_set, weights)
    overlap = (dice_of(iou) if dice else iou).nanmean(-1)  # (B, N, M)
    counted = q if of == "references" else p
    best = overlap.nan_to_num(nan=-math.inf).amax(1 if of == "references" else 2)
    known = counted * (best >= 0)
    return torch.where(known > 0, known * best, 0.0).sum(1) / known.sum(1)
