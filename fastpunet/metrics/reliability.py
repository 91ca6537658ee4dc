"""Whether probabilities mean what they say: reliability diagrams and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fastpunet.arguments import check_count
from fastpunet.metrics.mask_sets import RaggedMasks, check_pair, read_mask_set
from fastpunet.metrics.planes import class_planes, class_shares, count_classes
from fastpunet.metrics.presence import share_present

BINS = 10


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions sorted into bins of equal width by their probability. Those of several images add up.

    count      float64 (B, bins), predictions in the bin
    predicted  float64 (B, bins), sum of their probabilities
    observed   float64 (B, bins), sum of the shares of graders that agreed
    """

    count: Tensor
    predicted: Tensor
    observed: Tensor

    @property
    def error(self) -> Tensor:
        """Expected calibration error of each image, float64 (B,): |predicted - observed| of their bin, averaged over
        predictions (Guo et al. 2017, arXiv 1706.04599, equation 3). NaN where there are none."""
        return (self.predicted - self.observed).abs().sum(-1) / self.count.sum(-1)


def pixel_reliability(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    ignore: Tensor | None = None,
    bins: int = BINS,
) -> Reliability:
    """The share of hypotheses with a class at a pixel as a probability, against the share of graders.

    samples, references  labels (B, n, H, W) and (B, M, H, W), or with depth (B, n, D, H, W), `PackedMasks`, or, where
                         the numbers of masks differ, a list with the masks of each image
    num_classes          None for binary masks, of which the foreground is predicted; K: each class is, by itself
    weights              float (M,) or (B, M): probabilities of the references; None: all count alike
    ignore               bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label
    bins                 their number; they are closed on the right, the first on both sides

    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> samples = torch.tensor([[[[1, 1, 0, 0]], [[1, 0, 0, 0]]]])  # probabilities 1, 1/2, 0, 0
    >>> table = pixel_reliability(samples, torch.tensor([[[[1, 0, 0, 0]]]]), bins=2)
    >>> table.count, table.error
    (tensor([[3., 1.]], dtype=torch.float64), tensor([0.1250], dtype=torch.float64))
    """
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    check_pair(sample_set, reference_set, ignore)
    total = count_classes(num_classes)
    classes = (1,) if num_classes is None else range(total)
    s, y = (class_planes(masks, total, classes, ignore) for masks in (sample_set, reference_set))
    predicted, observed = class_shares(s, sample_set), class_shares(y, reference_set, weights)
    counts = torch.ones_like(predicted)
    if ignore is not None:
        counts = counts * (~ignore).flatten(1)[:, None]
    return _binned(predicted.flatten(1), observed.flatten(1), counts.flatten(1), bins)


def presence_reliability(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    weights: Tensor | None = None,
    ignore: Tensor | None = None,
    bins: int = BINS,
) -> Reliability:
    """The share of hypotheses that outline anything as a probability, against the share of graders who do.

    One prediction an image, of binary masks; the arguments and errors are as of `pixel_reliability`.

    >>> samples = torch.tensor([[[[1, 1]], [[0, 0]]]])  # one of two hypotheses outlines something
    >>> presence_reliability(samples, torch.tensor([[[[0, 1]]]])).error
    tensor([0.5000], dtype=torch.float64)
    """
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    check_pair(sample_set, reference_set, ignore)
    predicted = share_present(sample_set, None, ignore)[:, None]
    observed = share_present(reference_set, weights, ignore)[:, None]
    return _binned(predicted, observed, torch.ones_like(predicted), bins)


def _binned(predicted: Tensor, observed: Tensor, counts: Tensor, bins: int) -> Reliability:
    """Predictions (B, P) by bin; those of which the count is 0 do not count."""
    bins = check_count("bins", bins)
    edges = torch.from_numpy(np.linspace(0, 1, bins + 1)[1:-1]).to(predicted.device)
    places = torch.bucketize(predicted, edges)
    sums = [torch.zeros(len(predicted), bins, dtype=torch.float64, device=predicted.device) for _ in range(3)]
    for total, values in zip(sums, (counts, counts * predicted, counts * observed), strict=True):
        total.scatter_add_(1, places, values)
    return Reliability(*sums)
