"""Whether hypotheses vary where graders contradict them."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.metrics.checks import Masks
from fastpunet.metrics.shares import check_pair, class_shares


def ncc(samples: Masks, references: Masks, *, num_classes: int | None = None, ignore: Tensor | None = None) -> Tensor:
    """Normalised cross-correlation of the hypotheses' variance with their error under each grader: float64 (B,).

    Over the pixels of an image, Pearson's correlation of E_s[CE(mean s, s)] with E_s[CE(y, s)], averaged over graders
    y; 1 is perfect. Of hypotheses that are label maps, of which a share p_c has class c at a pixel, the first map is
    proportional to sum_c p_c (1 - p_c) and the second to 1 - p_y, by the same factor, -log of the small number that
    takes the place of log 0, which cancels. NaN where a map is constant, as where all hypotheses are equal.

    samples, references: labels (B, n, H, W) and (B, M, H, W), or `PackedMasks`; num_classes None for binary masks;
    ignore bool (B, H, W), True where a pixel does not count.
    Source: Baumgartner et al. 2019, arXiv 1906.04045, section 3.1, S_NCC.
    """
    check_pair(samples, references, num_classes, ignore)
    shares = class_shares(samples, num_classes)
    if num_classes is None:
        shares = torch.cat((1 - shares, shares), dim=1)
    variance = (shares * (1 - shares)).sum(1)
    labels = (references if isinstance(references, Tensor) else references.unpack()).flatten(2).long()
    counts = torch.ones_like(variance) if ignore is None else (~ignore).flatten(1).double()
    error = 1 - shares.gather(1, labels.clamp(0, shares.shape[1] - 1))
    return _correlation(variance[:, None], error, counts[:, None]).nanmean(1)


def _correlation(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Pearson's correlation along the last axis; NaN where x or y is constant, to rounding."""
    total = weights.sum(-1, keepdim=True)
    x, y = (a - (weights * a).sum(-1, keepdim=True) / total for a in (x, y))
    covariance, vx, vy = ((weights * product).sum(-1) for product in (x * y, x * x, y * y))
    negligible = 1e-12 * total[..., 0]
    correlation = covariance / (vx * vy).sqrt()
    return correlation.where((vx > negligible) & (vy > negligible), correlation.new_tensor(float("nan")))
