"""How far out in the prior a latent lies."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.models.priors import Prior


def mahalanobis(prior: Prior, z: Tensor) -> Tensor:
    """Distances float64 (m,) of latents z (m, latent_dim) of one image from the prior's mean, in its own units.

    Raises TypeError unless the prior is a Gaussian.
    """
    return prior.standardised(z[None])[0].norm(dim=1)


def share_farther(prior: Prior, z: Tensor, draws: Tensor) -> Tensor:
    """The share of the prior's draws that are less dense than z (m, latent_dim): float64 (m,), in [0, 1].

    Of a Gaussian those are the draws farther from its mean, and the share is exact: the squared distance follows a
    chi-square distribution with latent_dim degrees of freedom. Of other priors it is the share of `draws`
    (n, latent_dim). Raises TypeError if the prior's density is unknown.
    """
    try:
        squared = mahalanobis(prior, z) ** 2
    except TypeError:
        own, others = prior.log_density(z[None])[0], prior.log_density(draws[None])[0]
        return (others[None] <= own[:, None]).double().mean(1)
    half = torch.full_like(squared, z.shape[1] / 2)
    return torch.special.gammaincc(half, squared / 2)
