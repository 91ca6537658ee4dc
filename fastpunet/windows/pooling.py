"""One prior for a large image from those of its windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from fastpunet.models.priors import AxisAligned, LowRank, Prior


def check_gaussian(prior: Prior) -> None:
    """Raise ValueError for a prior that `pooled` does not take."""
    if not isinstance(prior, (AxisAligned, LowRank)):
        raise ValueError(
            "model: its prior is not one Gaussian, so that there is no one prior for all windows of an image; sample "
            "the image in one piece"
        )


def pooled(priors: Sequence[Prior], shares: Sequence[float], images: int) -> Prior:
    """The Gaussian whose parameters are the weighted means of those of all windows: mean, log sigma, factor.

    priors  each of some windows of B images, of all images for one window after another
    shares  the weight of each window; their sum is 1

    The published prior net takes the mean of its encoder's features over all pixels, and mean and log sigma are linear
    in it (Kohl et al. 2018, section 2). So the result is what the prior net's last layer makes of the mean over the
    pixels of all windows. With a window's share of the image as its weight, pixels that several windows see count
    hardly more than the others.
    """
    given: list[Any] = list(priors)

    def mean(parameters: Iterable[Tensor]) -> Tensor:
        rows = [row for values in parameters for row in values.double().unflatten(0, (-1, images))]
        total = torch.zeros_like(rows[0])
        for row, share in zip(rows, shares, strict=True):
            total.add_(row, alpha=share)
        return total

    mu = mean(prior.mu for prior in given).float()
    sigma = None if given[0].sigma is None else mean(prior.sigma.log() for prior in given).exp().float()
    if isinstance(priors[0], LowRank):
        return LowRank(mu, mean(prior.factor for prior in given).float(), sigma)
    assert sigma is not None
    return AxisAligned(mu, sigma)
