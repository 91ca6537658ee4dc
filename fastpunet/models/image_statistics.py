"""A compact description of an image by its grey values and its texture, which needs no network."""

from __future__ import annotations

import torch
from torch import Tensor

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_OCTAVES = 4
_EXAMINED = 1 << 12  # pixels of an image that its quantiles are of
_LEAST = 1e-3  # a difference of grey values that is hardly one: a quarter of a level of eight bits


def statistics_of(channels: int) -> int:
    """The number of statistics of an image with so many channels."""
    return channels * (len(_QUANTILES) + 4) + 2 * _OCTAVES


@torch.no_grad()
def image_statistics(images: Tensor) -> Tensor:
    """Statistics of images (B, C, *size): float64 (B, `statistics_of(C)`).

    Of each channel: minimum, five quantiles, maximum, mean and log standard deviation. Of the mean of the channels, in
    each of four octaves: the log root mean square of what halving the size takes away, and how evenly it is spread
    over the image (log of its mean absolute value over its root mean square). Such subband statistics describe natural
    images well (Mittal et al. 2013, "Making a completely blind image quality analyzer"), and histograms of grey values
    are as good a sign of unusual scans as what dedicated methods use (Vasiliuk et al. 2023, arXiv 2306.13528).

    >>> image_statistics(torch.rand(3, 1, 64, 64)).shape
    torch.Size([3, 17])
    """
    flat = images.detach().float().cpu().flatten(2)
    spread = flat[..., :: -(-flat.shape[2] // _EXAMINED) | 1]  # an odd step, so that all columns are met
    quantiles = spread.quantile(torch.tensor(_QUANTILES), dim=2)
    deviation = flat.std(2, correction=0)
    of_channels = [flat.amin(2), *quantiles, flat.amax(2), flat.mean(2), (deviation + _LEAST).log()]
    plane = images.detach().float().cpu().mean(1)
    octaves = []
    for _ in range(_OCTAVES):
        smaller = plane
        for axis in range(1, plane.ndim):
            smaller = _halved(smaller, axis)
        lost = (plane - _enlarged(smaller, plane.shape)).flatten(1)
        strength = lost.square().mean(1).sqrt() + _LEAST
        octaves += [strength.log(), ((lost.abs().mean(1) + _LEAST) / strength).log()]
        plane = smaller
    return torch.cat([torch.cat(of_channels, 1), torch.stack(octaves, 1)], 1).double()


def _halved(values: Tensor, axis: int) -> Tensor:
    """Means of two along an axis; the last of an odd number stays alone."""
    even = values.shape[axis] // 2 * 2
    pairs, rest = values.tensor_split([even], dim=axis)
    return torch.cat([pairs.unflatten(axis, (-1, 2)).mean(axis + 1), rest], dim=axis)


def _enlarged(values: Tensor, shape: torch.Size) -> Tensor:
    """Each value twice along every axis, cut to a shape."""
    for axis in range(1, values.ndim):
        values = values.repeat_interleave(2, axis).narrow(axis, 0, shape[axis])
    return values
