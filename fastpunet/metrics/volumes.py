"""Whether the volumes (areas) of hypotheses are distributed as those of the graders."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.arguments import check_positive, check_switch
from fastpunet.metrics.mask_sets import RaggedMasks, check_pair, mask_weights, read_mask_set
from fastpunet.metrics.planes import class_planes, count_classes
from fastpunet.metrics.shares import Predictions, Shares, read_shares
from fastpunet_kernels import area


def volume_crps(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    unbiased: bool = False,
    unit: float = 1.0,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """CRPS of the hypotheses' volume V under each grader's v, averaged over graders: float64 (B,); 0 is perfect.

    E|V - v| - E|V - V'| / 2, in pixels or, with `unit`, in whatever a pixel measures; of several classes, the mean over
    1 .. K - 1.

    unbiased  False: E|V - V'| over all pairs, equal ones included, which is the CRPS of the n hypotheses as a
              distribution of their own. True: over pairs of different ones, whose mean does not depend on n; NaN for
              n = 1; not with sample_weights
    unit      the size of a pixel, such as the product of the spacing in mm
    The other arguments and errors are as of `energy_distance`.

    Source: Gneiting and Raftery 2007, equation 21; Ferro 2014 for the unbiased form.

    >>> samples = torch.tensor([[[[1, 1, 1, 0]], [[1, 0, 0, 0]]]])  # 3 and 1 pixels
    >>> volume_crps(samples, torch.tensor([[[[1, 0, 0, 0]]]]))  # 1 - 1 / 2
    tensor([0.5000], dtype=torch.float64)
    """
    check_switch("unbiased", unbiased)
    check_positive("unit", unit)
    if unbiased and sample_weights is not None:
        raise ValueError(
            "sample_weights: got weights with unbiased=True, expected None, because weights describe a whole "
            "distribution; leave out one of the two"
        )
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    check_pair(sample_set, reference_set, ignore)
    total = count_classes(num_classes)
    classes = range(1, total)
    volumes, wanted = (
        area(class_planes(masks, total, classes, ignore)).double() for masks in (sample_set, reference_set)
    )
    p, q = mask_weights(sample_set, sample_weights, "sample_weights"), mask_weights(reference_set, weights)
    n = p.sum(1, keepdim=True)
    p, q = p / n, q / q.sum(1, keepdim=True)
    away = (volumes[:, :, None] - wanted[:, None]).abs()  # (B, n, M, classes)
    apart = _mean_apart(volumes, p)
    if unbiased:
        apart = apart * n / (n - 1)  # n = 1: 0 times infinity, NaN
    return unit * (torch.einsum("bn,bm,bnmk->bk", p, q, away) - apart / 2).mean(1)


def _mean_apart(values: Tensor, p: Tensor) -> Tensor:
    """E|V - V'| of values (B, n, classes) of probability p (B, n), by sorting: (B, classes)."""
    ordered, places = values.sort(1)
    weights = p[:, :, None].expand_as(values).gather(1, places)
    below = weights.cumsum(1)[:, :-1]
    return 2 * (below * (1 - below) * ordered.diff(dim=1)).sum(1)


def normal_volume_crps(
    samples: Predictions,
    references: RaggedMasks,
    *,
    unit: float = 1.0,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """CURVAS' volume score, float64 (B,): CRPS of the graders' normal distribution at the predicted volume.

    The predicted volume is the sum of the mean probabilities; the normal distribution has the graders' mean and their
    standard deviation (ddof 0). This is the exact integral; the organisers integrate numerically within three standard
    deviations of the mean, which leaves out what lies beyond. If the graders agree, it is the distance to their volume.
    The other arguments are as of `volume_crps`, and `Probabilities` are taken.

    Source: CURVAS 2024 (volume_metric); Gneiting et al. 2005, equation 5, for the integral.

    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[1, 1, 0, 0]]]])
    >>> normal_volume_crps(torch.tensor([[[[1, 1, 1, 1]]]]), graders)  # the graders agree
    tensor([2.], dtype=torch.float64)
    """
    check_positive("unit", unit)
    shares = read_shares(samples, references, num_classes, weights, sample_weights, ignore)
    return unit * normal_crps_of(shares, references, num_classes, weights, ignore)


def normal_crps_of(
    shares: Shares, references: RaggedMasks, num_classes: int | None, weights: Tensor | None, ignore: Tensor | None
) -> Tensor:
    """`normal_volume_crps`, in pixels, of shares that have been read already."""
    masks = read_mask_set("references", references)
    total = count_classes(num_classes)
    volumes = area(class_planes(masks, total, range(1, total), ignore)).double()
    q = mask_weights(masks, weights)
    q = q / q.sum(1, keepdim=True)
    mean = torch.einsum("bm,bmk->bk", q, volumes)
    deviation = torch.einsum("bm,bmk->bk", q, (volumes - mean[:, None]).square()).sqrt()
    off = shares.foreground.predicted.sum(2) - mean
    z = off / deviation.clamp(min=1e-300)
    below, density = torch.special.ndtr(z), (-z.square() / 2).exp() / math.sqrt(2 * math.pi)
    spread = deviation * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))
    return torch.where(deviation > 1e-9, spread, off.abs()).mean(1)
