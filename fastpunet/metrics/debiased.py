"""Calibration errors without the part that chance adds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet.metrics.reliability import Reliability


def debiased_squared_error(table: Reliability, groups: Sequence[object] | None = None) -> Tensor:
    """The squared calibration error of all images together, its bias removed: float64, a scalar.

    The gap of a bin, predicted less observed, is squared and averaged over predictions, each class by itself. A plain
    square is too large by the variance of the gap, because few images and graders differ from what is expected of them.
    Here the square is the mean product of the gaps of two different groups, whose errors are independent. It has no
    bias, so it is negative for about half of all perfect models; take the root of means only. Where each group has one
    prediction, it is the estimator of Kumar et al. 2019, arXiv 1909.10155.

    table   of B images, as of `pixel_reliability` or `presence_reliability`. Shares of n hypotheses are not quite the
            model's probabilities: sorted into bins by themselves, high ones are too high, even of a perfect model.
            Tables of `split=True` are free of that
    groups  the group of each image, such as its patient; None: each image is a group

    A bin that only one group has adds nothing. NaN if there is no prediction. Raises ValueError if there are not B
    groups.

    >>> table = Reliability(torch.ones(2, 1), torch.tensor([[0.5], [0.5]]), torch.tensor([[1.0], [0.0]]))
    >>> debiased_squared_error(table)  # the gaps are -1/2 and 1/2
    tensor(-0.2500, dtype=torch.float64)
    """
    images = len(table.count)
    if groups is not None and len(groups) != images:
        raise ValueError(f"groups: got {len(groups)}, expected {images}, one for each image of the table")
    count, gap = table.count.double(), (table.predicted - table.observed).double()
    if groups is not None:
        names = {name: place for place, name in enumerate(dict.fromkeys(groups))}
        places = torch.tensor([names[name] for name in groups], device=count.device)
        empty = count.new_zeros(len(names), *count.shape[1:])
        count, gap = empty.index_add(0, places, count), empty.index_add(0, places, gap)
    pairs = count.sum(0).square() - count.square().sum(0)
    square = torch.where(pairs > 0, (gap.sum(0).square() - gap.square().sum(0)) / pairs, 0.0)
    return (count.sum(0) * square).sum() / count.sum()
