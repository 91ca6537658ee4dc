"""Whether hypotheses vary where graders contradict them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.metrics.mask_sets import RaggedMasks, check_pair, mask_weights, read_mask_set
from fastpunet.metrics.planes import class_planes, class_shares, count_classes, unpack_plane

_NEGLIGIBLE_VARIANCE = 1e-12  # of shares: rounding of a map that is constant


def ncc(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """Normalised cross-correlation of the hypotheses' variance with their error under each grader: float64 (B,).

    Over the pixels of an image, Pearson's correlation of E_s[CE(mean s, s)] with E_s[CE(y, s)], averaged over graders
    y; 1 is perfect. Of hypotheses that are label maps, of which a share p_c has class c at a pixel, the first map is
    proportional to sum_c p_c (1 - p_c) and the second to 1 - p_y. Both have the same factor, minus the logarithm of the
    small number that takes the place of 0 in log 0; it cancels. A grader for whom a map is constant, as where all
    hypotheses are equal, is left out of the average; NaN where none is left.

    samples, references  labels (B, n, H, W) and (B, M, H, W), or with depth (B, n, D, H, W), `PackedMasks`, or, where
                         the numbers of masks differ, a list with the masks of each image
    num_classes          K; None for binary masks
    weights              float (M,) or (B, M): probabilities of the references; None: all count alike
    ignore               bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label

    Source: Baumgartner et al. 2019, arXiv 1906.04045, section 3.1, S_NCC.
    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> samples = torch.tensor([[[[0, 0, 1, 1]], [[0, 0, 0, 1]]]])  # they disagree about the third pixel
    >>> ncc(samples, torch.tensor([[[[0, 0, 1, 1]]]]))
    tensor([1.], dtype=torch.float64)
    """
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    check_pair(sample_set, reference_set, ignore)
    total = count_classes(num_classes)
    classes = (1,) if total == 2 else range(total)
    s, y = (class_planes(masks, total, classes, ignore) for masks in (sample_set, reference_set))
    shares = class_shares(s, sample_set)
    truths = [unpack_plane(plane, reference_set) for plane in y.split(1, dim=2)]
    if total == 2:  # the background is what is not foreground
        shares, truths = torch.cat((1 - shares, shares), dim=1), [1 - truths[0], truths[0]]
    variance = (shares * (1 - shares)).sum(1)
    error = torch.ones(truths[0].shape, dtype=torch.float64, device=variance.device)
    for label, truth in enumerate(truths):
        error -= truth * shares[:, None, label]
    counted = torch.ones_like(variance) if ignore is None else (~ignore).flatten(1).double()
    correlations = _correlation(variance[:, None], error, counted[:, None])
    known = mask_weights(reference_set, weights) * ~correlations.isnan()
    return torch.where(known > 0, known * correlations, 0.0).sum(1) / known.sum(1)


def _correlation(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Pearson's correlation along the last axis; NaN where x or y is constant, to rounding."""
    total = weights.sum(-1, keepdim=True)
    x, y = (a - (weights * a).sum(-1, keepdim=True) / total for a in (x, y))
    covariance, vx, vy = ((weights * product).sum(-1) for product in (x * y, x * x, y * y))
    negligible = _NEGLIGIBLE_VARIANCE * total[..., 0]
    return torch.where((vx > negligible) & (vy > negligible), covariance / (vx * vy).sqrt(), math.nan)
