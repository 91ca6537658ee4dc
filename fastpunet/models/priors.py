"""Distributions over the latent space, one for each image, whose draws are a function of the noise alone."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor

from fastpunet.latents import Noise
from fastpunet_kernels import Gaussian
from fastpunet_kernels.problem import reparameterised


class Prior(ABC):
    """p(z | image) for each of B images."""

    latent_dim: int
    gaussian: bool = False  # whether z is a linear function of standard normals

    @abstractmethod
    def latents(self, noise: Noise) -> Tensor | Gaussian:
        """Latents float32 (B, n, latent_dim) for this noise, or a `Gaussian`, from which a kernel draws them."""

    @abstractmethod
    def parts(self) -> dict[str, Tensor]:
        """The tensors that latents are computed from, each under a name for error messages."""

    def draw(self, noise: Noise) -> Tensor:
        """The latents of `latents` themselves, float32 (B, n, latent_dim), also where a kernel would draw them."""
        z = self.latents(noise)
        return reparameterised(z.mu, z.sigma, noise.normals(self.latent_dim)) if isinstance(z, Gaussian) else z

    def log_density(self, z: Tensor) -> Tensor:
        """log p(z | image) in nats, float64 (B, n), of latents z (B, n, latent_dim), with gradients.

        Raises TypeError if the density is unknown, or if there is none because the latents lie in a plane.
        """
        self._unknown("density")

    def standardised(self, z: Tensor) -> Tensor:
        """Latents z (B, n, latent_dim) in coordinates in which the prior is N(0, I), float64.

        Their length is the Mahalanobis distance of z from the prior's mean. Raises TypeError unless the prior is a
        Gaussian with a density.
        """
        self._unknown("Mahalanobis distance")

    def _unknown(self, what: str) -> NoReturn:
        raise TypeError(f"model: its prior, of the kind {type(self).__name__}, has no {what} that is known")


class OfNormals(Prior):
    """A prior in which each latent is a function of some standard normals."""

    normals: int  # the number of standard normals for one latent

    @abstractmethod
    def of_normals(self, normals: Tensor) -> Tensor:
        """Latents float32 (B, n, latent_dim) of standard normals float32 (B, n, normals).

        Sums have the same order for all shapes, so that a latent depends on its own normals alone.
        """

    def latents(self, noise: Noise) -> Tensor | Gaussian:
        return self.of_normals(noise.normals(self.normals))


@dataclass(frozen=True, eq=False)
class AxisAligned(OfNormals):
    """N(mu, diag(sigma^2)), mu and sigma float32 (B, latent_dim)."""

    mu: Tensor
    sigma: Tensor

    gaussian = True

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
        return _standard_normal(self.standardised(z)) - self.sigma.double().log().sum(1, keepdim=True)

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

    gaussian = True

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
        offset = (z.double() - self.mu[:, None]).mT
        return torch.linalg.solve_triangular(self._cholesky(), offset, upper=False).mT

    def log_density(self, z: Tensor) -> Tensor:
        log_scale = self._cholesky().diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True)
        return _standard_normal(self.standardised(z)) - log_scale

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


@dataclass(frozen=True, eq=False)
class Mixture(OfNormals):
    """Draws from component c with probability weights[:, c]; weights float32 (B, components)."""

    weights: Tensor
    components: tuple[OfNormals, ...]

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        return self.components[0].latent_dim

    @property
    def normals(self) -> int:  # type: ignore[override]
        return 1 + max(component.normals for component in self.components)

    def of_normals(self, normals: Tensor) -> Tensor:
        """The normal distribution function maps the first normal to a uniform number, which chooses the component."""
        chance = torch.special.ndtr(normals[..., :1].double())
        upper = self.weights.double().cumsum(1) / self.weights.double().sum(1, keepdim=True)
        chosen = (chance > upper[:, None, :-1]).sum(-1, keepdim=True)
        z = torch.zeros_like(normals[..., :1]).expand(-1, -1, self.latent_dim)
        for i, component in enumerate(self.components):
            z = torch.where(chosen == i, component.of_normals(normals[..., 1 : 1 + component.normals]), z)
        return z

    def log_density(self, z: Tensor) -> Tensor:
        weights = self.weights.double() / self.weights.double().sum(1, keepdim=True)
        each = torch.stack([component.log_density(z) for component in self.components], dim=2)
        return (each + weights.log()[:, None]).logsumexp(2)

    def parts(self) -> dict[str, Tensor]:
        parts = {"the prior's mixture weights": self.weights}
        for i, component in enumerate(self.components):
            parts |= {f"{name} (component {i})": part for name, part in component.parts().items()}
        return parts


def _standard_normal(u: Tensor) -> Tensor:
    """The log density of N(0, I) at u (B, n, latent_dim): (B, n)."""
    return -(u**2).sum(2) / 2 - u.shape[2] / 2 * math.log(2 * math.pi)
