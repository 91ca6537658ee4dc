"""Proper scores of probabilities: Brier score, pixels' and images' likelihood."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.arguments import is_number
from fastpunet.metrics.mask_sets import RaggedMasks, mask_weights, read_mask_set
from fastpunet.metrics.planes import class_planes, count_classes, unpack_plane
from fastpunet.metrics.probabilities import Probabilities
from fastpunet.metrics.shares import Predictions, Shares, check_probabilities_fit, hypotheses_of, read_shares

SMALLEST = 1e-8


def brier_score(
    samples: Predictions,
    references: RaggedMasks,
    *,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """The mean over pixels and graders of sum_c (p_c - y_c)^2, y one-hot: float64 (B,), 0 to 2; 0 is perfect.

    The sum is over all classes; of binary masks over both, which is twice the square for the foreground. NaN where no
    pixel counts. The arguments and errors are as of `pixel_reliability`.

    Source: Brier 1950; Gneiting and Raftery 2007, section 3.

    >>> brier_score(torch.tensor([[[[1, 0]], [[0, 0]]]]), torch.tensor([[[[1, 0]]]]))  # 2 (1/2)^2 and 0
    tensor([0.2500], dtype=torch.float64)
    """
    return brier_of(read_shares(samples, references, num_classes, weights, sample_weights, ignore))


def brier_of(shares: Shares) -> Tensor:
    """`brier_score` of shares that have been read already."""
    p, y = shares.every_class.predicted, shares.every_class.observed
    return (p * p - 2 * p * y + y).sum((1, 2)) / shares.counted.sum(1)  # the mean over graders of (p - 0 or 1)^2


def pixel_nll(
    samples: Predictions,
    references: RaggedMasks,
    *,
    smallest: float = SMALLEST,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """The mean over pixels and graders of -log p_y, float64 (B,), in nats; 0 is perfect.

    smallest: what takes the place of smaller probabilities, such as 0 where no hypothesis has a grader's class; the
    value depends on it, so state it. NaN where no pixel counts. The other arguments and errors are as of
    `pixel_reliability`.

    >>> pixel_nll(torch.tensor([[[[1, 0]], [[0, 0]]]]), torch.tensor([[[[1, 0]]]]))  # (log 2 + 0) / 2
    tensor([0.3466], dtype=torch.float64)
    """
    check_smallest(smallest)
    return nll_of(read_shares(samples, references, num_classes, weights, sample_weights, ignore), smallest)


def nll_of(shares: Shares, smallest: float = SMALLEST) -> Tensor:
    """`pixel_nll` of shares that have been read already."""
    shares = shares.every_class
    return -(shares.observed * shares.predicted.clamp(min=smallest).log()).sum((1, 2)) / shares.counted.sum(1)


def image_log_likelihood(
    samples: Probabilities,
    references: RaggedMasks,
    *,
    smallest: float = SMALLEST,
    num_classes: int | None = None,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """log of the mean over hypotheses s of prod_i p_si(y_i), averaged over graders y: float64 (B,), in nats.

    Of whole masks, not of single pixels: it sees whether pixels vary together. An estimate from n hypotheses is below
    the model's own on average, less so with more of them. samples: `Probabilities`, because a label map gives every
    other mask a likelihood of 0. smallest: what takes the place of smaller probabilities. The other arguments and
    errors are as of `pixel_reliability`.

    Source: Monteiro et al. 2020 (SSN), arXiv 2006.06015, whose training loss it is.

    >>> heads = torch.tensor([0.5, 1.0]).reshape(1, 2, 1, 1, 1)  # of one pixel
    >>> image_log_likelihood(Probabilities(heads), torch.tensor([[[[1]]]])).exp()  # (1/2 + 1) / 2
    tensor([0.7500], dtype=torch.float64)
    """
    check_smallest(smallest)
    if not isinstance(samples, Probabilities):
        raise TypeError(
            f"samples: got {type(samples).__name__}, expected fastpunet.metrics.Probabilities, because a label map "
            'gives all other labels a likelihood of 0; draw with output="probs"'
        )
    total = count_classes(num_classes)
    masks = read_mask_set("references", references)
    check_probabilities_fit(samples, masks, num_classes, ignore)
    planes = class_planes(masks, total, range(total), ignore)  # of no class where a pixel does not count
    shares = mask_weights(hypotheses_of(samples), sample_weights, "sample_weights")
    shares = (shares / shares.sum(1, keepdim=True)).log()
    values = samples.values.flatten(3)
    terms = torch.zeros(*values.shape[:2], masks.longest, dtype=torch.float64, device=values.device)
    for label, plane in enumerate(planes.split(1, dim=2)):
        binary = (1 - values[:, :, 0]) if label == 0 else values[:, :, 0]
        logs = (binary if num_classes is None else values[:, :, label]).double().clamp(min=smallest).log()
        terms += torch.einsum("bnp,bmp->bnm", logs, unpack_plane(plane, masks).double())
    likelihood = torch.logsumexp(terms + shares[:, :, None], 1)  # (B, M)
    q = mask_weights(masks, weights)
    return (likelihood * q).sum(1) / q.sum(1)


def check_smallest(smallest: float) -> None:
    if not is_number(smallest) or not 0 < smallest < 1:
        raise ValueError(f"smallest: got {smallest!r}, expected a probability above 0, such as {SMALLEST}")
