"""The overlap of every hypothesis with every grader, as a convention has it."""

from __future__ import annotations

import math

from torch import Tensor

from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.mask_sets import MaskSet, check_pair
from fastpunet.metrics.planes import convention_planes
from fastpunet_kernels import mask_iou


def class_ious(samples: MaskSet, references: MaskSet, convention: str | Convention, ignore: Tensor | None) -> Tensor:
    """IoU of every pair and class that the convention averages, float64 (B, N, M, classes).

    NaN where the convention leaves a class out, and for pairs of which one mask is filling (see `MaskSet`). Raises
    TypeError or ValueError, naming the argument, as `energy_distance` does.
    """
    rule = find_convention(convention)
    check_pair(samples, references, ignore)
    sample_planes = convention_planes(samples, rule, ignore)
    iou = mask_iou(sample_planes, convention_planes(references, rule, ignore), rule.empty).double()
    if not (samples.ragged or references.ragged):
        return iou
    both = samples.own[:, :, None] & references.own[:, None]
    return iou.masked_fill(~both[..., None], math.nan)
