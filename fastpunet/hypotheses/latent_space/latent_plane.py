"""A plane in the latent space of one image, measured in standard deviations of the prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fastpunet.latents import draw_latents
from fastpunet.models.latent_method import LatentEncoding
from fastpunet.models.priors import AxisAligned
from fastpunet.sampler import Sampler

_DRAWS = 64  # with other draws, the axes of the shipped and other trained models rotate by a few degrees only
_STEP = 0.02  # standard deviations of the prior: small beside the kinks of f_comb, large beside rounding


@dataclass(frozen=True, eq=False)
class LatentPlane:
    """A plane through the prior's mean. Positions in it are (..., 2), in standard deviations of the prior.

    mu, sigma  float32 (latent_dim,), the prior's mean and standard deviation
    axes       float32 (2, latent_dim), orthonormal directions of (z - mu) / sigma, in which the prior is N(0, I): in
               the plane it is N(0, I) too, and its contours are circles
    """

    mu: Tensor
    sigma: Tensor
    axes: Tensor

    def latents(self, positions: Tensor) -> Tensor:
        """z (..., latent_dim) at positions (..., 2) in the plane; other directions stay at the prior's mean."""
        return self.mu + self.sigma * (positions @ self.axes)

    def positions(self, z: Tensor) -> Tensor:
        """Positions (..., 2) of any latents z (..., latent_dim): their orthogonal projection in the prior's units."""
        return ((z - self.mu) / self.sigma) @ self.axes.T

    def covariances(self, sigma: Tensor) -> Tensor:
        """Covariances (..., 2, 2) in the plane of Gaussians with standard deviations sigma (..., latent_dim)."""
        scaled = self.axes * (sigma / self.sigma)[..., None, :]
        return scaled @ scaled.mT


def principal_axes(sensitivity: Tensor) -> Tensor:
    """The two leading eigenvectors (2, latent_dim) of a sensitivity, each with its largest component positive."""
    leading = torch.linalg.eigh(sensitivity).eigenvectors.flip(1)[:, :2].T
    largest = leading.gather(1, leading.abs().argmax(1, keepdim=True))
    return (leading * largest.sign()).float()


def sensitivity(sampler: Sampler, encoding: LatentEncoding, prior: AxisAligned, seed: int) -> Tensor:
    """How much one image's probability maps change with its latent: E[J^T J], float64 (latent_dim, latent_dim).

    J is the Jacobian of all probabilities of a hypothesis with respect to (z - mu) / sigma, and E is the mean over the
    prior; so u^T E[J^T J] u is the mean squared change along a direction u. The leading eigenvectors span the active
    subspace (Constantine, Dow and Wang 2014, SIAM J. Sci. Comput. 36, A1500, section 2): no other plane holds as much
    of the change. Unlike a principal component analysis of hypotheses or of graders' posteriors, this needs no linear
    relation, recognises unused dimensions exactly from any number of draws, and works where all graders agree.

    J is computed by central differences at draws from the prior, which are a function of the seed.
    """
    draws = draw_latents(prior.mu, prior.sigma, _DRAWS, seed=seed, backend=sampler.backend)[0]
    steps = _STEP * torch.diag(prior.sigma[0])
    total = torch.zeros(len(steps), len(steps), dtype=torch.float64, device=draws.device)
    for z in draws:
        probs = sampler.decode(encoding, torch.cat((z + steps, z - steps))[None], output="probs")[0].flatten(1)
        ahead, behind = probs.chunk(2)
        change = ((ahead - behind) / (2 * _STEP)).double()
        total += change @ change.T
    return total / _DRAWS
