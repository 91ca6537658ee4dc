"""Distributions over the latent space, one for each image, drawn as a function of the noise alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from fastpunet.latents import Noise
from fastpunet_kernels import Gaussian


class Prior(ABC):
    """p(z | image) for each of B images."""

    latent_dim: int

    @abstractmethod
    def latents(self, noise: Noise) -> Tensor | Gaussian:
        """The latents float32 (B, n, latent_dim) of the hypotheses that `noise` names, or the recipe of a kernel."""

    @abstractmethod
    def parts(self) -> dict[str, Tensor]:
        """The tensors that latents are computed from, each under a name for error messages."""


@dataclass(frozen=True, eq=False)
class AxisAligned(Prior):
    """N(mu, diag(sigma^2)), mu and sigma float32 (B, latent_dim)."""

    mu: Tensor
    sigma: Tensor

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        return self.mu.shape[1]

    def latents(self, noise: Noise) -> Tensor | Gaussian:
        return noise.gaussian(self.mu, self.sigma)

    def parts(self) -> dict[str, Tensor]:
        return {"the prior's mean": self.mu, "the prior's standard deviation": self.sigma}
