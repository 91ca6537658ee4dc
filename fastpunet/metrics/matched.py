"""IoU after an optimal matching of hypotheses and graders."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.metrics.checks import Masks
from fastpunet.metrics.conventions import Convention
from fastpunet.metrics.pairs import class_ious


def matched_iou(
    samples: Masks, references: Masks, *, convention: str | Convention = "kohl-lidc", ignore: Tensor | None = None
) -> Tensor:
    """Hungarian-matched IoU, float64 (B,): the mean IoU under the best one-to-one matching, 1 is perfect.

    Both sets are repeated to the least common multiple of n and M, so that every hypothesis and every grader counts
    as often as every other. samples, references, convention and ignore as of `energy_distance`; a pair of which the
    convention leaves no class counts as 1: the two agree that nothing of it is there. Time grows with the cube of the
    multiple: take n a multiple of M. Needs SciPy.

    Source: Kohl et al. 2019, arXiv 1905.13077, section 4; repetition as in Monteiro et al. 2020, arXiv 2006.06015.
    """
    from scipy.optimize import linear_sum_assignment

    iou = class_ious(samples, references, convention, ignore).nanmean(-1).nan_to_num(nan=1.0)
    _, n, graders = iou.shape
    common = math.lcm(n, graders)
    repeated = iou.repeat_interleave(common // n, 1).repeat_interleave(common // graders, 2).cpu().numpy()
    means = [matrix[linear_sum_assignment(matrix, maximize=True)].mean() for matrix in repeated]
    return torch.tensor(means, dtype=torch.float64, device=iou.device)
