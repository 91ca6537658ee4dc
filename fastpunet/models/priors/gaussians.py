"""Gaussian priors: with independent dimensions, and with any covariance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from fastpunet.latents import Noise
from fastpunet.models.priors.prior import OfNormals, mean_in_units, standard_normal
from fastpunet_kernels import Gaussian

_SAMPLERS = ("random", "sobol", "antithetic")


@dataclass(frozen=True, eq=False)
class AxisAligned(OfNormals):
    """N(mu, diag(sigma^2)), mu and sigma float32 (B, latent_dim)."""

    mu: Tensor
    sigma: Tensor

    samplers = _SAMPLERS
    described = "a Gaussian"

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        return self.mu.shape[1]

    @property
    def normals(self) -> int:  # type: ignore[override]
        return self.mu.shape[1]

    def latents(self, noise: Noise) -> Tensor | Gaussian:
        return noise.gaussian(self.mu, self.sigma)

    def of_normals(self, normals: Tensor) -> Tensor:
        return torch.addcmul(self.mu[:, None], self.sigma[:, None], normals)

    def standardised(self, z: Tensor) -> Tensor:
        return (z.double() - self.mu[:, None]) / self.sigma[:, None]

    def log_density(self, z: Tensor) -> Tensor:
        return standard_normal(self.standardised(z)) - self.sigma.double().log().sum(1, keepdim=True)

    def divergence(self, posterior: Normal) -> Tensor:
        """As in `Prior`, (B, n, latent_dim): a part for each dimension."""
        return kl_divergence(posterior, Normal(self.mu[:, None], self.sigma[:, None], validate_args=False))

    def moments(self) -> tuple[Tensor, Tensor]:
        return self.mu, self.sigma

    def in_units(self) -> AxisAligned:
        return replace(self, mu=mean_in_units(self.mu, self.sigma))

    def widened(self, scale: float) -> AxisAligned:
        return replace(self, sigma=self.sigma * scale)

    def parts(self) -> dict[str, Tensor]:
        return {"the prior's mean": self.mu, "the prior's standard deviation": self.sigma}


@dataclass(frozen=True, eq=False)
class LowRank(OfNormals):
    """N(mu, factor factor^T + diag(sigma^2)): mu, sigma float32 (B, latent_dim), factor (B, latent_dim, rank).

    Without sigma the covariance is factor factor^T; a Cholesky factor gives any covariance.
    """

    mu: Tensor
    factor: Tensor
    sigma: Tensor | None = None

    samplers = _SAMPLERS
    described = "a Gaussian"

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        return self.mu.shape[1]

    @property
    def normals(self) -> int:  # type: ignore[override]
        return self.factor.shape[2] + (0 if self.sigma is None else self.latent_dim)

    def of_normals(self, normals: Tensor) -> Tensor:
        rank = self.factor.shape[2]
        z = self.mu[:, None].expand(-1, normals.shape[1], -1)
        for j in range(rank):
            z = torch.addcmul(z, self.factor[:, None, :, j], normals[..., j : j + 1])
        return z if self.sigma is None else torch.addcmul(z, self.sigma[:, None], normals[..., rank:])

    def standardised(self, z: Tensor) -> Tensor:
        return _solved(self._cholesky(), (z.double() - self.mu[:, None]).mT).mT

    def log_density(self, z: Tensor) -> Tensor:
        return standard_normal(self.standardised(z)) - _log_det(self._cholesky())

    def divergence(self, posterior: Normal) -> Tensor:
        """As in `Prior`, float64 (B, n, 1): dimensions that depend on each other have no parts of their own.

        With the Cholesky factor L of the covariance and C = L^-1 diag(sigma_q), it is
        (|C|^2 + |L^-1 (mu_q - mu)|^2 - latent_dim) / 2 - log |C|.
        """
        cholesky, scale = self._cholesky(), posterior.scale.double()
        away = _solved(cholesky, (posterior.loc.double() - self.mu[:, None]).mT).square().sum(1)
        weights = _solved(cholesky, torch.eye(self.latent_dim).to(cholesky).expand_as(cholesky)).square().sum(1)
        trace = (scale.square() * weights[:, None]).sum(2)
        divergence = (trace + away - self.latent_dim) / 2 + _log_det(cholesky) - scale.log().sum(2)
        return divergence[..., None]

    def moments(self) -> tuple[Tensor, Tensor]:
        variance = self.factor.square().sum(2)
        return self.mu, (variance if self.sigma is None else variance + self.sigma.square()).sqrt()

    def in_units(self) -> LowRank:
        return replace(self, mu=mean_in_units(*self.moments()))

    def widened(self, scale: float) -> LowRank:
        sigma = None if self.sigma is None else self.sigma * scale
        return replace(self, factor=self.factor * scale, sigma=sigma)

    def _cholesky(self) -> Tensor:
        """The Cholesky factor of the covariance, float64 (B, latent_dim, latent_dim)."""
        factor = self.factor.double()
        covariance = factor @ factor.mT
        if self.sigma is not None:
            covariance = covariance + torch.diag_embed(self.sigma.double() ** 2)
        cholesky, failed = torch.linalg.cholesky_ex(covariance)
        if bool(failed.any()):
            raise TypeError("model: the covariance of its prior is singular, so that its latents have no density")
        return cholesky

    def parts(self) -> dict[str, Tensor]:
        own = {"the prior's mean": self.mu, "the prior's covariance": self.factor}
        return own if self.sigma is None else {**own, "the prior's standard deviation": self.sigma}


def _solved(cholesky: Tensor, columns: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(cholesky, columns, upper=False)


def _log_det(cholesky: Tensor) -> Tensor:
    """The logarithm of the determinant of a triangular factor (B, d, d): (B, 1)."""
    return cholesky.diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True)
