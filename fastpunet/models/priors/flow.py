"""A normalizing flow: a diagonal Gaussian that affine coupling layers bend (Dinh et al. 2017, arXiv 1605.08803)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fastpunet.latents import Noise
from fastpunet.models.priors.gaussians import AxisAligned
from fastpunet.models.priors.prior import OfNormals

_LOG_SCALE = 2.0  # bound on |log scale| of a dimension in one layer
_DRAWS = 1024  # for moments


@dataclass(frozen=True, eq=False)
class Coupling:
    """Moves one half of the dimensions by a function of the other half and of the image (equations 7 and 8 there).

    With the half z_a that stays, h = max(0, W z_a + context), [s; t] = V h + b, and the other half becomes
    z_b exp(s / (1 + |s| / 2)) + t.

    context  float32 (B, hidden), of the image
    kept     float32 (hidden, kept), W
    moved    float32 (2 moved, hidden), V
    bias     float32 (2 moved,), b
    first    whether the first half of the dimensions stays, or the second
    """

    context: Tensor
    kept: Tensor
    moved: Tensor
    bias: Tensor
    first: bool

    def forward(self, z: Tensor) -> Tensor:
        """The bent latents (B, n, latent_dim), in the dtype of z."""
        stays, goes = self._halves(z)
        log_scale, shift = self._scale_and_shift(stays)
        return self._joined(stays, goes * log_scale.exp() + shift)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` bent to z, and log |det d forward / dz| there, (B, n)."""
        stays, went = self._halves(z)
        log_scale, shift = self._scale_and_shift(stays)
        return self._joined(stays, (went - shift) * (-log_scale).exp()), log_scale.sum(2)

    def _scale_and_shift(self, stays: Tensor) -> tuple[Tensor, Tensor]:
        """In loops over the terms of each sum, so that their order is the same for all shapes."""
        context, kept, moved, bias = (t.to(stays.dtype) for t in (self.context, self.kept, self.moved, self.bias))
        hidden = context[:, None].expand(-1, stays.shape[1], -1)
        for j in range(kept.shape[1]):
            hidden = torch.addcmul(hidden, stays[..., j : j + 1], kept[:, j])
        hidden = hidden.relu()
        found = bias.expand(*stays.shape[:2], -1)
        for j in range(moved.shape[1]):
            found = torch.addcmul(found, hidden[..., j : j + 1], moved[:, j])
        raw, shift = found.chunk(2, dim=2)
        return raw / (1 + raw.abs() / _LOG_SCALE), shift

    def _halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        size = self.kept.shape[1] if self.first else z.shape[2] - self.kept.shape[1]
        left, right = z.tensor_split([size], dim=2)
        return (left, right) if self.first else (right, left)

    def _joined(self, stays: Tensor, goes: Tensor) -> Tensor:
        return torch.cat((stays, goes) if self.first else (goes, stays), dim=2)


@dataclass(frozen=True, eq=False)
class Flow(OfNormals):
    """Draws u from a diagonal Gaussian, and bends it by one coupling after another to z."""

    base: AxisAligned
    couplings: tuple[Coupling, ...]

    samplers = ("random", "sobol")
    described = "a normalizing flow"

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        return self.base.latent_dim

    @property
    def normals(self) -> int:  # type: ignore[override]
        return self.base.normals

    def of_normals(self, normals: Tensor) -> Tensor:
        z = self.base.of_normals(normals)
        for coupling in self.couplings:
            z = coupling.forward(z)
        return z

    def log_density(self, z: Tensor) -> Tensor:
        u, log_det = z.double(), torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
        for coupling in reversed(self.couplings):
            u, bent = coupling.inverse(u)
            log_det = log_det + bent
        return self.base.log_density(u) - log_det

    def moments(self) -> tuple[Tensor, Tensor]:
        ids = torch.arange(len(self.base.mu), device=self.base.mu.device)
        z = self.draw(Noise(0, ids, 0, _DRAWS))
        return z.mean(1), z.std(1)

    def in_units(self) -> Flow:
        return replace(self, base=self.base.in_units())

    def widened(self, scale: float) -> Flow:
        return replace(self, base=self.base.widened(scale))

    def parts(self) -> dict[str, Tensor]:
        contexts = {f"the prior's coupling {i}": coupling.context for i, coupling in enumerate(self.couplings)}
        return {**self.base.parts(), **contexts}
