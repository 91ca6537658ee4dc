"""IoU after an optimal matching of hypotheses and graders."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.metrics.conventions import Convention
from fastpunet.metrics.mask_sets import RaggedMasks, read_mask_set
from fastpunet.metrics.pairs import class_ious


def matched_iou(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    convention: str | Convention = "kohl-lidc",
    ignore: Tensor | None = None,
) -> Tensor:
    """Hungarian-matched IoU, float64 (B,): the mean IoU under the best one-to-one matching; 1 is perfect.

    samples, references, convention and ignore are as of `energy_distance`. Both sets are repeated to the least common
    multiple of their sizes n and M, so that every hypothesis and every grader counts as often as every other. A pair of
    which the convention leaves no class counts as 1: the two agree that none of its classes is there. Time grows with
    the cube of the multiple, so take n a multiple of M. Needs SciPy.

    Source: Kohl et al. 2019, arXiv 1905.13077, section 4; the repetition is that of Zbinden et al. 2023, arXiv
    2303.08888. Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> samples = torch.tensor([[[[1, 1, 1, 1]], [[1, 1, 0, 0]]]])
    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[0, 0, 1, 1]]]])
    >>> matched_iou(samples, graders)  # the first sample goes to the second grader: (1/2 + 1) / 2
    tensor([0.7500], dtype=torch.float64)
    """
    from scipy.optimize import linear_sum_assignment

    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    iou = class_ious(sample_set, reference_set, convention, ignore).nanmean(-1).nan_to_num(nan=1.0)
    means = []
    counts = zip(sample_set.counts.tolist(), reference_set.counts.tolist(), strict=True)
    for overlaps, (n, graders) in zip(iou.cpu().numpy(), counts, strict=True):
        common = math.lcm(n, graders)
        matrix = overlaps[:n, :graders].repeat(common // n, 0).repeat(common // graders, 1)
        means.append(matrix[linear_sum_assignment(matrix, maximize=True)].mean())
    return torch.tensor(means, dtype=torch.float64, device=iou.device)
