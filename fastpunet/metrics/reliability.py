"""Whether probabilities mean what they say: reliability diagrams and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fastpunet.metrics.checks import Masks
from fastpunet.metrics.presence import presence
from fastpunet.metrics.shares import check_pair, class_shares

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
    samples: Masks,
    references: Masks,
    *,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    ignore: Tensor | None = None,
    bins: int = BINS,
) -> Reliability:
    """The share of hypotheses with a class at a pixel as a probability, against the share of graders.

    samples, references: labels (B, n, H, W) and (B, M, H, W), or `PackedMasks`; num_classes None for binary masks, of
    which the foreground is predicted; K: each class is. weights float (M,) or (B, M): probabilities of the references.
    ignore bool (B, H, W), True where a pixel does not count. Bins are closed on the right, the first on both sides.
    """
    check_pair(samples, references, num_classes, ignore)
    predicted, observed = class_shares(samples, num_classes), class_shares(references, num_classes, weights)
    counts = torch.ones_like(predicted)
    if ignore is not None:
        counts = counts * (~ignore).flatten(1)[:, None]
    return _sorted(predicted.flatten(1), observed.flatten(1), counts.flatten(1), bins)


def presence_reliability(
    samples: Masks, references: Masks, *, weights: Tensor | None = None, bins: int = BINS
) -> Reliability:
    """The share of hypotheses that outline anything as a probability, against the share of graders who do.

    One prediction an image, of binary masks; weights and bins as of `pixel_reliability`.
    """
    check_pair(samples, references, None, None)
    predicted, observed = presence(samples), presence(references, weights)
    return _sorted(predicted[:, None], observed[:, None], torch.ones_like(predicted)[:, None], bins)


def _sorted(predicted: Tensor, observed: Tensor, counts: Tensor, bins: int) -> Reliability:
    """Predictions (B, P), of which those with count 0 do not count, by bin."""
    if bins < 1:
        raise ValueError(f"bins: got {bins}, expected at least 1")
    edges = torch.from_numpy(np.linspace(0, 1, bins + 1)[1:-1]).to(predicted.device)
    places = torch.bucketize(predicted, edges)
    sums = [torch.zeros(len(predicted), bins, dtype=torch.float64, device=predicted.device) for _ in range(3)]
    for total, values in zip(sums, (counts, counts * predicted, counts * observed), strict=True):
        total.scatter_add_(1, places, values)
    return Reliability(*sums)
