"""How many of an image's masks have a class at a pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.metrics.checks import Masks, check_ignore, check_labels, check_masks, check_same_frame


def class_shares(masks: Masks, num_classes: int | None, weights: Tensor | None = None) -> Tensor:
    """Share of masks (B, N, H, W) that have a class at a pixel, float64 (B, classes, H * W).

    num_classes None: binary masks, whose foreground is the one class. weights (N,) or (B, N) sum to 1.
    """
    labels = (masks.unpack() if isinstance(masks, PackedMasks) else masks).flatten(2)
    shares = []
    for label in (1,) if num_classes is None else range(num_classes):
        has = labels == label
        if weights is None:
            shares.append(has.sum(1).double() / labels.shape[1])
        else:
            shares.append((has * weights.double().expand(labels.shape[:2])[..., None]).sum(1))
    return torch.stack(shares, dim=1)


def check_pair(samples: Masks, references: Masks, num_classes: int | None, ignore: Tensor | None) -> None:
    """Samples and references of the same images and classes, or TypeError or ValueError that names the argument."""
    check_masks("samples", samples)
    check_masks("references", references)
    check_same_frame("references", references, "samples", samples)
    check_ignore(ignore, "samples", samples)
    for name, masks in (("samples", samples), ("references", references)):
        check_labels(name, masks, num_classes or 2, ignore, "pass num_classes=K for labels of K classes")
