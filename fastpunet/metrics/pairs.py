"""The overlap of every hypothesis with every grader, as a convention has it."""

from __future__ import annotations

import math

from torch import Tensor

from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.mask_sets import MaskSet, check_pair
from fastpunet.metrics.planes import convention_planes
from fastpunet_kernels import area, mask_iou


def class_ious(samples: MaskSet, references: MaskSet, convention: str | Convention, ignore: Tensor | None) -> Tensor:
    """IoU of every pair and class that the convention averages, float64 (B, N, M, classes), whatever its overlap.

    NaN where the convention leaves a class out, and for pairs of which one mask is filling (see `MaskSet`). Raises
    TypeError or ValueError, naming the argument, as `energy_distance` does.
    """
    rule = find_convention(convention)
    check_pair(samples, references, ignore)
    s, y = (convention_planes(masks, rule, ignore) for masks in (samples, references))
    iou = mask_iou(s, y, rule.empty).double()
    if math.isnan(rule.false_alarm):
        iou = iou.masked_fill((area(y) == 0)[:, None], math.nan)
    if not (samples.ragged or references.ragged):
        return iou
    both = samples.own[:, :, None] & references.own[:, None]
    return iou.masked_fill(~both[..., None], math.nan)


def dice_of(iou: Tensor) -> Tensor:
    """The Dice coefficients of masks whose IoU is given."""
    return 2 * iou / (1 + iou)
