"""Noise as a recipe: every number is a pure function of (seed, image id, hypothesis), computed in any order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fastpunet.arguments import check_count
from fastpunet.sobol import POINTS, sobol_normals
from fastpunet_kernels import Gaussian, philox_normal
from fastpunet_kernels.problem import reparameterised

SEED_LIMIT = 2**63
SAMPLERS = {"random": 2**32, "sobol": POINTS, "antithetic": 2**32}  # and the most hypotheses of one image


@dataclass(frozen=True, eq=False)
class Noise:
    """A recipe for all random numbers in hypotheses first .. first + n - 1 of some images.

    seed     0 <= seed < 2**63
    ids      int64 (B,), one per image, on the device of the images
    sampler  how the normals of an image's hypotheses are related to each other: "random", not at all; "sobol", by a
             scrambled Sobol sequence; "antithetic", those of hypothesis 2j + 1 are those of 2j times -1
    """

    seed: int
    ids: Tensor
    first: int
    n: int
    backend: str = "auto"  # which kernel computes the numbers
    sampler: str = "random"

    def parts(self, chunk: int) -> Iterator[Noise]:
        """The recipes of these hypotheses in order, at most `chunk` in each."""
        end = self.first + self.n
        return (replace(self, first=k, n=min(chunk, end - k)) for k in range(self.first, end, chunk))

    def normals(self, dim: int, layer: int = 0) -> Tensor:
        """Standard normals float32 (B, n, dim). Every `layer`, 0 <= layer < 2**15, has independent numbers."""
        seed, end = self.seed ^ (layer << 48), self.first + self.n
        if self.sampler == "sobol":
            return sobol_normals(seed, self.ids, self.first, self.n, dim)
        if self.sampler == "antithetic":
            pair = self.first // 2
            one = philox_normal(seed, self.ids, pair, (end + 1) // 2 - pair, dim, backend=self.backend)
            return torch.stack((one, -one), dim=2).flatten(1, 2)[:, self.first - 2 * pair :][:, : self.n]
        return philox_normal(seed, self.ids, self.first, self.n, dim, backend=self.backend)

    def choose(self, count: int) -> list[int]:
        """Choose among `count` fixed hypotheses: the seed alone decides their order, which all images share."""
        order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed))
        return order[self.first : self.first + self.n].tolist()

    def gaussian(self, mu: Tensor, sigma: Tensor) -> Tensor | Gaussian:
        """Latents mu + sigma * normals for mu, sigma float32 (B, latent_dim), or their recipe for a kernel."""
        if self.sampler == "random":
            return Gaussian(mu, sigma, self.ids, self.seed, self.first, self.n)
        return reparameterised(mu, sigma, self.normals(mu.shape[1]))


def check_seed(seed: object) -> int:
    """The seed as an int, or a fresh one from torch's global generator for None. Raises TypeError or ValueError."""
    if seed is None:
        return int(torch.randint(SEED_LIMIT - 1, ()).item())
    return check_count("seed", seed, least=0, limit=SEED_LIMIT - 1)


def check_ids(ids: Tensor | None, images: int, device: torch.device) -> Tensor:
    """Image ids int64 (B,) on `device`; 0 .. B-1 for None. Raises TypeError or ValueError."""
    if ids is None:
        return torch.arange(images, device=device)
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64:
        got = ids.dtype if isinstance(ids, Tensor) else type(ids).__name__
        raise TypeError(f"ids: got {got}, expected an int64 tensor with one id for each image: torch.tensor([...])")
    if ids.shape != (images,):
        raise ValueError(f"ids: got shape {tuple(ids.shape)}, expected ({images},), one id for each image")
    return ids.to(device)


def check_latents(z: object, images: int, latent_dim: int, device: torch.device) -> Tensor:
    """Latents (B, n, latent_dim) as float32 on `device`. Raises ValueError for another shape, NaN or infinity."""
    if not isinstance(z, Tensor) or z.ndim != 3 or (z.shape[0], z.shape[2]) != (images, latent_dim):
        got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ValueError(f"z: got {got}, expected (B, n, latent_dim) = ({images}, n, {latent_dim})")
    if not z.is_floating_point():
        raise ValueError(f"z: got {z.dtype}, expected finite floats")
    if not torch.isfinite(z).all():
        raise ValueError(f"z: got {z.dtype} with NaN or infinity, expected finite floats")
    return z.detach().to(device, torch.float32)


def draw_latents(
    mu: Tensor, sigma: Tensor, n: int, *, seed: int, ids: Tensor | None = None, first: int = 0, backend: str = "auto"
) -> Tensor:
    """z = mu + sigma * eps for hypotheses first .. first + n - 1; mu, sigma (B, latent_dim), z (B, n, latent_dim)."""
    noise = Noise(check_seed(seed), check_ids(ids, mu.shape[0], mu.device), first, n, backend)
    return torch.addcmul(mu[:, None], sigma[:, None], noise.normals(mu.shape[1]))
