"""Whether hypotheses vary where graders contradict them."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.metrics.correlation import correlation
from fastpunet.metrics.mask_sets import RaggedMasks, mask_weights, read_mask_set
from fastpunet.metrics.planes import class_planes, unpack_plane
from fastpunet.metrics.probabilities import Probabilities
from fastpunet.metrics.shares import Predictions, Shares, hypotheses_of, read_shares

_SMALL = 1e-8  # takes the place of 0 in log 0, as in the authors' code


def ncc(
    samples: Predictions,
    references: RaggedMasks,
    *,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """Normalised cross-correlation of the hypotheses' variance with their error under each grader: float64 (B,).

    Over the pixels of an image, Pearson's correlation of E_s[CE(mean s, s)] with E_s[CE(y, s)], averaged over graders
    y; 1 is perfect. Of hypotheses that are label maps, of which a share p_c has class c at a pixel, the first map is
    proportional to sum_c p_c (1 - p_c) and the second to 1 - p_y. Both have the same factor, minus the logarithm of the
    small number that takes the place of 0 in log 0; it cancels. A grader for whom a map is constant, as where all
    hypotheses are equal, is left out of the average; NaN where none is left. Of `Probabilities` the maps are as written
    first, with 1e-8 added to each probability before its logarithm is taken, as the authors do.

    samples, references  labels (B, n, H, W) and (B, M, H, W), or with depth (B, n, D, H, W), `PackedMasks`, or, where
                         the numbers of masks differ, a list with the masks of each image; the samples may also be
                         `Probabilities`
    num_classes          K; None for binary masks
    weights              float (M,) or (B, M): probabilities of the references; None: all count alike
    sample_weights       float (n,) or (B, n): probabilities of the samples; None: all count alike
    ignore               bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label

    Source: Baumgartner et al. 2019, arXiv 1906.04045, section 3.1, S_NCC.
    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> samples = torch.tensor([[[[0, 0, 1, 1]], [[0, 0, 0, 1]]]])  # they disagree about the third pixel
    >>> ncc(samples, torch.tensor([[[[0, 0, 1, 1]]]]))
    tensor([1.], dtype=torch.float64)
    """
    shares = read_shares(samples, references, num_classes, weights, sample_weights, ignore)
    surprise = -_mean_logs(samples, sample_weights) if isinstance(samples, Probabilities) else None
    return ncc_of(shares, references, weights, ignore, surprise)


def ncc_of(
    shares: Shares,
    references: RaggedMasks,
    weights: Tensor | None,
    ignore: Tensor | None,
    surprise: Tensor | None = None,
) -> Tensor:
    """`ncc` of shares that have been read already.

    surprise: the mean over hypotheses s of CE(class, s), float64 (B, K, pixels), K >= 2; None: hypotheses are label
    maps, of which it is 1 - p_c in units of minus the logarithm of the small number.
    """
    shares = shares.every_class
    surprise = 1 - shares.predicted if surprise is None else surprise
    reference_set = read_mask_set("references", references)
    classes = range(shares.predicted.shape[1])
    planes = class_planes(reference_set, len(classes), classes, ignore).split(1, dim=2)
    variance = (shares.predicted * surprise).sum(1)
    error = sum(unpack_plane(plane, reference_set) * surprise[:, None, label] for label, plane in enumerate(planes))
    correlations = correlation(variance[:, None], torch.as_tensor(error), shares.counted[:, None])
    known = mask_weights(reference_set, weights) * ~correlations.isnan()
    return torch.where(known > 0, known * correlations, 0.0).sum(1) / known.sum(1)


def _mean_logs(samples: Probabilities, weights: Tensor | None) -> Tensor:
    """The mean over hypotheses of the logarithms of all classes' probabilities, float64 (B, K, pixels)."""
    values = samples.values.flatten(3).double()
    if values.shape[2] == 1:
        values = torch.cat((1 - values, values), 2)
    shares = mask_weights(hypotheses_of(samples), weights, "sample_weights")
    return torch.einsum("bn,bnkp->bkp", shares / shares.sum(1, keepdim=True), (values + _SMALL).log())
