"""Whether hypotheses are level sets of one another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet.metrics.conventions import check_classes
from fastpunet.metrics.mask_sets import RaggedMasks, check_ignore, read_mask_set
from fastpunet.metrics.planes import class_planes, count_classes
from fastpunet_kernels import area, pairwise_intersection


def nestedness(
    samples: RaggedMasks,
    *,
    num_classes: int | None = None,
    classes: Sequence[int] | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """Of all pairs of a class's masks that differ and are not empty, the share in which one contains the other.

    samples      labels (B, n, H, W) or (B, n, D, H, W), `PackedMasks`, or a list with the masks of each image
    num_classes  K; None for binary masks
    classes      those looked at; None: all but the background, 1 .. K - 1
    ignore       bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label

    Returns float64 (B,), NaN where there is no such pair. If f_comb is affine in z, because it has no ReLU, all
    hypotheses of an image are level sets of one score, and this is 1. It is also 1 if hypotheses differ only in how
    wide or tight a border is drawn.

    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> nestedness(torch.tensor([[[[0, 1, 0]], [[1, 1, 0]], [[0, 0, 1]]]]))  # of three pairs, the first two masks
    tensor([0.3333], dtype=torch.float64)
    """
    sample_set = read_mask_set("samples", samples)
    check_ignore(ignore, sample_set)
    total = count_classes(num_classes)
    looked_at = range(1, total) if classes is None else check_classes(classes, total)
    planes = class_planes(sample_set, total, looked_at, ignore)
    both = pairwise_intersection(planes, planes)  # (B, n, n, K)
    size = area(planes)
    smaller, larger = torch.minimum(size[:, :, None], size[:, None]), torch.maximum(size[:, :, None], size[:, None])
    differ = (smaller > 0) & ~((both == smaller) & (both == larger))
    return (differ & (both == smaller)).sum((1, 2, 3)).double() / differ.sum((1, 2, 3))
