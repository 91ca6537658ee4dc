"""The overlap of every hypothesis with every grader, as a convention has it."""

from __future__ import annotations

from torch import Tensor

from fastpunet.metrics.checks import Masks, check_ignore, check_masks, check_same_frame
from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.planes import convention_words
from fastpunet_kernels import mask_iou


def class_ious(samples: Masks, references: Masks, convention: str | Convention, ignore: Tensor | None) -> Tensor:
    """IoU of every pair and class that the convention averages, float64 (B, n, M, classes); NaN where it has none.

    Raises TypeError or ValueError, naming the argument, as `energy_distance` does.
    """
    rule = find_convention(convention)
    check_masks("samples", samples)
    check_masks("references", references)
    check_same_frame("references", references, "samples", samples)
    check_ignore(ignore, "samples", samples)
    sample_words = convention_words("samples", samples, rule, ignore)
    return mask_iou(sample_words, convention_words("references", references, rule, ignore), rule.empty).double()
