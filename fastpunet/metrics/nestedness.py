"""Whether hypotheses are level sets of one another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet.metrics.checks import Masks, check_labels, check_masks, check_num_classes
from fastpunet.metrics.planes import class_words
from fastpunet_kernels import area, pairwise_intersection


def nestedness(samples: Masks, *, num_classes: int = 2, classes: Sequence[int] | None = None) -> Tensor:
    """Of all pairs of a class's masks that differ and are not empty, the share in which one contains the other.

    samples labels (B, n, H, W), or `PackedMasks`; classes: those looked at, by default 1 .. num_classes - 1. Returns
    float64 (B,), NaN where there is no such pair. An f_comb that is affine in z, for want of a ReLU, makes all
    hypotheses of an image level sets of one score, and this 1; a borderline drawn wider or tighter does so as well.
    """
    check_masks("samples", samples)
    check_num_classes(num_classes)
    check_labels("samples", samples, num_classes, None, "pass num_classes=K for labels of K classes")
    words = class_words(samples, num_classes, range(1, num_classes) if classes is None else classes, None)
    both = pairwise_intersection(words, words)  # (B, n, n, K)
    size = area(words)
    smaller, larger = torch.minimum(size[:, :, None], size[:, None]), torch.maximum(size[:, :, None], size[:, None])
    differ = (smaller > 0) & ~((both == smaller) & (both == larger))
    return (differ & (both == smaller)).sum((1, 2, 3)).double() / differ.sum((1, 2, 3))
