"""Whether a lesion is outlined at all, and how well, where it is."""

from __future__ import annotations

from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.metrics.checks import Masks, check_masks
from fastpunet.metrics.iou import pairwise_iou


def presence(masks: Masks, weights: Tensor | None = None) -> Tensor:
    """Share of an image's masks that are not empty: labels (B, n, H, W), or `PackedMasks`, to float64 (B,).

    weights float (n,) or (B, n): probabilities of the masks; None if all count alike.
    """
    check_masks("masks", masks)
    present = _present(masks).double()
    return present.mean(1) if weights is None else (present * weights).sum(1)


def present_distance(samples: Masks, references: Masks) -> Tensor:
    """Mean of d = 1 - IoU over the pairs of which neither is empty, float64 (B,); NaN where there is none.

    samples, references: binary masks (B, n, H, W) and (B, M, H, W), or `PackedMasks`. Unlike the energy distance it
    tells errors in shape from errors in whether there is anything.
    """
    distances = 1 - pairwise_iou(samples, references).double()
    both = (_present(samples)[:, :, None] & _present(references)[:, None]).double()
    return (distances * both).sum((1, 2)) / both.sum((1, 2))


def _present(masks: Masks) -> Tensor:
    """bool (B, n)"""
    return (masks.words if isinstance(masks, PackedMasks) else masks).flatten(2).ne(0).any(2)
