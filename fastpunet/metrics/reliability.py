"""Whether probabilities mean what they say: reliability diagrams and calibration errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fastpunet.arguments import check_choice, check_count
from fastpunet.metrics.halves import check_split, halves
from fastpunet.metrics.mask_sets import RaggedMasks, check_pair, mask_weights, read_mask_set
from fastpunet.metrics.presence import share_present
from fastpunet.metrics.shares import Predictions, Shares, read_shares

BINS = 10
KINDS = ("class-wise", "top-label")


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions sorted into bins of equal width by their probability. Those of several images add up.

    The leading axes are the images, (B,), or, if several classes are predicted, each by itself, (B, K).

    count      float64 (..., bins), predictions in the bin
    predicted  float64 (..., bins), sum of their probabilities
    observed   float64 (..., bins), sum of the shares of graders that agreed
    """

    count: Tensor
    predicted: Tensor
    observed: Tensor

    @property
    def error(self) -> Tensor:
        """Expected calibration error of each image, float64 (B,). It is |predicted - observed| of a bin, averaged over
        predictions, each class with bins of its own (Guo et al. 2017, arXiv 1706.04599, equation 3; for classes Kull et
        al. 2019, arXiv 1910.12656). NaN where there are none."""
        return self._over_classes((self.predicted - self.observed).abs().sum(-1) / self.count.sum(-1))

    @property
    def mean_gap(self) -> Tensor:
        """As `error`, with equal weights for all bins that have a prediction ("average calibration error", Neumann et
        al. 2018), float64 (B,)."""
        return self._over_classes(self._gaps.nanmean(-1))

    @property
    def maximum_gap(self) -> Tensor:
        """The largest gap of any bin of any class, float64 (B,) (the maximum calibration error of Guo et al. 2017)."""
        gaps = self._gaps.flatten(1)
        largest = gaps.nan_to_num(nan=-1.0).amax(1)
        return largest.masked_fill(gaps.isnan().all(1), float("nan"))

    def equal_count(self, bins: int = BINS) -> Reliability:
        """The same predictions in `bins` bins of equal count (Nixon et al. 2019, arXiv 1904.01685).

        Predictions in one bin of this table count as equal: where a bin of equal count ends among them, each part gets
        its share of their sums, so that their order does not matter. Start from a fine table, such as one of 1000 bins,
        which tells shares of up to 1000 hypotheses apart.

        >>> fine = Reliability(*(torch.tensor([values]) for values in ([3.0, 1.0], [0.3, 0.9], [0.0, 1.0])))
        >>> fine.equal_count(2).count, fine.equal_count(2).observed
        (tensor([[2., 2.]]), tensor([[0., 1.]]))
        """
        bins = check_count("bins", bins)
        ends = self.count.cumsum(-1)
        total = ends[..., -1:]
        edges = total * torch.arange(bins + 1, dtype=ends.dtype, device=ends.device) / bins
        low = torch.maximum((ends - self.count)[..., None, :], edges[..., :-1, None])
        high = torch.minimum(ends[..., None, :], edges[..., 1:, None])
        parts = (high - low).clamp(min=0) / self.count.clamp(min=1e-300)[..., None, :]  # (..., bins, old bins)
        sums = ((parts * table[..., None, :]).sum(-1) for table in (self.count, self.predicted, self.observed))
        return Reliability(*sums)

    @property
    def _gaps(self) -> Tensor:
        """Of each bin, NaN where it is empty."""
        return (self.predicted - self.observed).abs() / self.count

    @staticmethod
    def _over_classes(errors: Tensor) -> Tensor:
        return errors if errors.ndim == 1 else errors.nanmean(1)


def pixel_reliability(
    samples: Predictions,
    references: RaggedMasks,
    *,
    kind: str = "class-wise",
    split: bool = False,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
    bins: int = BINS,
) -> Reliability:
    """The share of hypotheses with a class at a pixel as a probability, against the share of graders.

    samples              labels (B, n, H, W), or with depth (B, n, D, H, W), `PackedMasks`, a list with the masks of
                         each image where their numbers differ, or `Probabilities`
    references           labels (B, M, H, W) or (B, M, D, H, W), `PackedMasks`, or a list with the masks of each image
    kind                 "class-wise": the foreground of binary masks, or each class by itself, with bins of its own
                         (B, K, bins). Bins that classes share would hide errors: if one class is too probable, another
                         is not probable enough.
                         "top-label": the most probable class of a pixel, of binary masks as well (B, bins); the lowest
                         of equal ones
    split                True: every second hypothesis sorts a prediction into its bin, the others are the prediction,
                         so that chance in the one does not bias the other; see `debiased_squared_error`. It needs two
                         hypotheses, and takes no sample_weights
    num_classes          None for binary masks; K
    weights              float (M,) or (B, M): probabilities of the references; None: all count alike
    sample_weights       float (n,) or (B, n): probabilities of the samples; None: all count alike
    ignore               bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label
    bins                 number of bins; they are closed on the right, the first on both sides

    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> samples = torch.tensor([[[[1, 1, 0, 0]], [[1, 0, 0, 0]]]])  # probabilities 1, 1/2, 0, 0
    >>> table = pixel_reliability(samples, torch.tensor([[[[1, 0, 0, 0]]]]), bins=2)
    >>> table.count, table.error
    (tensor([[3., 1.]], dtype=torch.float64), tensor([0.1250], dtype=torch.float64))
    """
    check_choice("kind", kind, KINDS)
    if not check_split(split, samples, sample_weights):
        return reliability_of(
            read_shares(samples, references, num_classes, weights, sample_weights, ignore), kind, bins
        )
    first, second = (read_shares(half, references, num_classes, weights, None, ignore) for half in halves(samples))
    return reliability_of(second, kind, bins, sorted_by=first)


def reliability_of(
    shares: Shares, kind: str = "class-wise", bins: int = BINS, sorted_by: Shares | None = None
) -> Reliability:
    """`pixel_reliability` of shares that have been read already; sorted_by: what decides about bins and top labels."""
    sorted_by = shares if sorted_by is None else sorted_by
    if kind == "top-label":
        shares, sorted_by = shares.every_class, sorted_by.every_class
        confidence, top = sorted_by.predicted.max(1)
        predicted, observed = (part.gather(1, top[:, None])[:, 0] for part in (shares.predicted, shares.observed))
        return _binned(predicted, observed, shares.counted, bins, confidence)
    counted = shares.counted[:, None].expand_as(shares.predicted)
    parts = [part.flatten(0, 1) for part in (shares.predicted, shares.observed, counted, sorted_by.predicted)]
    table = _binned(parts[0], parts[1], parts[2], bins, parts[3])
    classes = shares.predicted.shape[1]
    if classes == 1:
        return table
    return Reliability(*(part.unflatten(0, (-1, classes)) for part in (table.count, table.predicted, table.observed)))


def presence_reliability(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    split: bool = False,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
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
    observed = share_present(reference_set, weights, ignore)[:, None]
    if check_split(split, samples, sample_weights):
        first, second = (share_present(read_mask_set("samples", half), None, ignore) for half in halves(samples))
        return _binned(second[:, None], observed, torch.ones_like(observed), bins, first[:, None])
    p = None if sample_weights is None else mask_weights(sample_set, sample_weights, "sample_weights")
    predicted = share_present(sample_set, p, ignore)[:, None]
    return _binned(predicted, observed, torch.ones_like(predicted), bins, predicted)


def _binned(predicted: Tensor, observed: Tensor, counts: Tensor, bins: int, sorted_by: Tensor) -> Reliability:
    """Predictions (B, P) in the bins of `sorted_by`; those of which the count is 0 do not count."""
    bins = check_count("bins", bins)
    edges = torch.from_numpy(np.linspace(0, 1, bins + 1)[1:-1]).to(predicted.device)
    places = torch.bucketize(sorted_by.contiguous(), edges)
    sums = [torch.zeros(len(predicted), bins, dtype=torch.float64, device=predicted.device) for _ in range(3)]
    for total, values in zip(sums, (counts, counts * predicted, counts * observed), strict=True):
        total.scatter_add_(1, places, values)
    return Reliability(*sums)
