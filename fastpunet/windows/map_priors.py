"""Latent maps of a large image: the windows' priors of their cells, blended as features are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.models.latent_maps import interpolated
from fastpunet.models.priors import AxisAligned


def maps_as_features(
    features: Tensor, prior: AxisAligned, latent_dim: int, grid: tuple[int, ...]
) -> tuple[Tensor, AxisAligned]:
    """The features (N, C, *size) of windows with mean and log sigma of their maps behind them, and the other latents.

    The prior is over (N, latent_dim + maps * cells). Returns (N, C + 2 maps, *size) and the prior over (N, latent_dim).
    """
    moments = (prior.mu[:, latent_dim:], prior.sigma[:, latent_dim:].log())
    cells = torch.cat(moments, dim=1).unflatten(1, (-1, *grid))
    blendable = torch.cat((features, interpolated(cells, tuple(features.shape[2:]))), dim=1)
    return blendable, AxisAligned(prior.mu[:, :latent_dim], prior.sigma[:, :latent_dim])


def maps_of_features(
    blended: Tensor, prior: AxisAligned, maps: int, grid: tuple[int, ...]
) -> tuple[Tensor, AxisAligned]:
    """What `maps_as_features` put together, for a large image (B, C + 2 maps, *size) and the grid of its own cells."""
    features, moments = blended.tensor_split([blended.shape[1] - 2 * maps], dim=1)
    mu, log_sigma = interpolated(moments.contiguous(), grid).flatten(1).split(maps * math.prod(grid), dim=1)
    whole = AxisAligned(torch.cat((prior.mu, mu), dim=1), torch.cat((prior.sigma, log_sigma.exp()), dim=1))
    return features, whole
