"""The encoding of images whose hypotheses have latent maps of their own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fastpunet.latents import Noise
from fastpunet.models.latent_method import LatentEncoding, LatentProblem
from fastpunet_kernels import Gaussian, Maps
from fastpunet_kernels.problem import reparameterised


@dataclass(frozen=True, eq=False)
class MapEncoding(LatentEncoding):
    """As `LatentEncoding`, for z (B, n, latent_dim + maps * cells).

    grid        the cells of a map, such as (8, 8)
    map_weight  float32 (h, maps), the columns of the combiner's first layer that maps are fed to

    The decoder takes the latents of the whole image alone.
    """

    grid: tuple[int, ...]
    map_weight: Tensor

    def problem(self, z: Tensor | Gaussian) -> LatentProblem:
        if isinstance(z, Gaussian):
            z = reparameterised(z.mu, z.sigma, Noise(z.seed, z.ids, z.first, z.n).normals(z.mu.shape[1]))
        of_image = self.decoder.z_weight.shape[1]
        values = z[:, :, of_image:].unflatten(2, (-1, *self.grid))
        return LatentProblem(self.base, self.decoder, z[:, :, :of_image], Maps(values, self.map_weight, self.size))
