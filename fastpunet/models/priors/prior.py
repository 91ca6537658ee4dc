"""What every distribution over the latent space can do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NoReturn

from torch import Tensor
from torch.distributions import Normal

from fastpunet.latents import Noise
from fastpunet_kernels import Gaussian
from fastpunet_kernels.problem import reparameterised


class Prior(ABC):
    """p(z | image) for each of B images."""

    latent_dim: int
    samplers: tuple[str, ...] = ("random",)  # those of `latents.SAMPLERS` that it can be drawn by
    described: str = "known by its sample alone"  # in error messages

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

    def divergence(self, posterior: Normal) -> Tensor | None:
        """KL(q || p) in nats of diagonal Gaussians q over (B, n, latent_dim), in parts (B, n, ...) whose sum it is.

        None where it has no closed form. Raises TypeError as `log_density`.
        """
        return None

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

    @abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation of each dimension of z, float32 (B, latent_dim) each.

        Those of a `Flow` are the mean and standard deviation of 1024 fixed draws.
        """

    @abstractmethod
    def in_units(self) -> OfNormals:
        """The same prior, in which the gradient of each mean is multiplied by its standard deviation.

        A KL's gradient with respect to the prior's mean is proportional to 1 / sigma. A dimension in which
        segmentations lie far apart, such as "a lesion or none", has a wide prior and therefore a small gradient. The
        gradients of narrow dimensions, which share its encoder, would hide it, and the prior would hardly follow the
        image. The loss and its minimum stay the same.
        """

    @abstractmethod
    def widened(self, scale: float) -> OfNormals:
        """The same prior with `scale` times the standard deviations of each Gaussian that it is made of."""

    def latents(self, noise: Noise) -> Tensor | Gaussian:
        return self.of_normals(noise.normals(self.normals))


def mean_in_units(mean: Tensor, sigma: Tensor) -> Tensor:
    """The unchanged mean, whose gradient is multiplied by sigma, as if that were the mean's unit."""
    unmoved = mean.detach()
    return unmoved + (mean - unmoved) * sigma.detach()


def standard_normal(u: Tensor) -> Tensor:
    """The log density of N(0, I) at u (B, n, latent_dim): (B, n)."""
    return -(u**2).sum(2) / 2 - u.shape[2] / 2 * math.log(2 * math.pi)
