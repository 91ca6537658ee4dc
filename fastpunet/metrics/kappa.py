"""Cohen's kappa: agreement of label maps beyond chance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.metrics.mask_sets import MaskSet, RaggedMasks, check_ignore, check_pair, mask_weights, read_mask_set
from fastpunet.metrics.planes import class_planes, count_classes
from fastpunet_kernels import area, pairwise_intersection


def cohens_kappa(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """The mean kappa over pairs of a sample and a reference: float64 (B,); 1 is perfect.

    (o - e) / (1 - e), where o is the share of pixels to which both give the same class, and e what it would be by
    chance. A pair of which both give every pixel one and the same class has no kappa and is left out; NaN where none is
    left. The arguments and errors are as of `pixel_reliability`, for label maps alone.

    Source: Cohen 1960.

    >>> cohens_kappa(torch.tensor([[[[1, 1, 0, 0]]]]), torch.tensor([[[[1, 0, 0, 0]]]]))  # (3/4 - 1/2) / (1 - 1/2)
    tensor([0.5000], dtype=torch.float64)
    """
    s, y = read_mask_set("samples", samples), read_mask_set("references", references)
    check_pair(s, y, ignore)
    p, q = mask_weights(s, sample_weights, "sample_weights"), mask_weights(y, weights)
    return _mean(_kappas(s, y, num_classes, ignore), p[:, :, None] * q[:, None])


def kappa_within(masks: RaggedMasks, *, num_classes: int | None = None, ignore: Tensor | None = None) -> Tensor:
    """As `cohens_kappa`, over pairs of different masks of one set, such as graders: float64 (B,); NaN for a single one.

    >>> kappa_within(torch.tensor([[[[1, 1, 0, 0]], [[1, 0, 0, 0]]]]))
    tensor([0.5000], dtype=torch.float64)
    """
    s = read_mask_set("masks", masks)
    check_ignore(ignore, s)
    p = mask_weights(s, None)
    different = ~torch.eye(s.longest, dtype=torch.bool, device=p.device)
    return _mean(_kappas(s, s, num_classes, ignore), p[:, :, None] * p[:, None] * different)


def _kappas(s: MaskSet, y: MaskSet, num_classes: int | None, ignore: Tensor | None) -> Tensor:
    """Of every pair, float64 (B, n, M), NaN where it is undefined."""
    total = count_classes(num_classes)
    a, b = (class_planes(masks, total, range(total), ignore) for masks in (s, y))
    pixels = torch.full((s.images,), math.prod(s.size), device=a.device)
    if ignore is not None:
        pixels = (~ignore).flatten(1).sum(1)
    counted = pixels.double()[:, None, None]
    same = pairwise_intersection(a, b).sum(-1) / counted
    chance = torch.einsum("bnk,bmk->bnm", area(a).double(), area(b).double()) / counted.square()
    return torch.where(chance < 1 - 1e-12, (same - chance) / (1 - chance), math.nan)


def _mean(kappas: Tensor, weights: Tensor) -> Tensor:
    known = weights * ~kappas.isnan()
    return torch.where(known > 0, known * kappas, 0.0).sum((1, 2)) / known.sum((1, 2))
