"""Mixtures of priors, and the bank of raters' priors that is one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fastpunet.models.priors.gaussians import AxisAligned
from fastpunet.models.priors.prior import OfNormals


@dataclass(frozen=True, eq=False)
class Mixture(OfNormals):
    """Draws from component c with probability weights[:, c]; weights float32 (B, components)."""

    weights: Tensor
    components: tuple[OfNormals, ...]

    samplers = ("random", "sobol")
    described = "a mixture"

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        return self.components[0].latent_dim

    @property
    def normals(self) -> int:  # type: ignore[override]
        return 1 + max(component.normals for component in self.components)

    def of_normals(self, normals: Tensor) -> Tensor:
        """The normal distribution function maps the first normal to a uniform number, which chooses the component."""
        chance = torch.special.ndtr(normals[..., :1].double())
        upper = self._probabilities().cumsum(1)
        chosen = (chance > upper[:, None, :-1]).sum(-1, keepdim=True)
        z = torch.zeros_like(normals[..., :1]).expand(-1, -1, self.latent_dim)
        for i, component in enumerate(self.components):
            z = torch.where(chosen == i, component.of_normals(normals[..., 1 : 1 + component.normals]), z)
        return z

    def log_density(self, z: Tensor) -> Tensor:
        each = torch.stack([component.log_density(z) for component in self.components], dim=2)
        weights = self._probabilities()
        none = weights == 0  # whose logarithm has no gradient; a weight that has underflowed adds nothing
        logs = weights.masked_fill(none, 1).log().masked_fill(none, -math.inf)
        return (each + logs[:, None]).logsumexp(2)

    def moments(self) -> tuple[Tensor, Tensor]:
        means, sigmas = (torch.stack(each, dim=2) for each in zip(*(c.moments() for c in self.components), strict=True))
        weights = self._probabilities().float()[:, None]
        mean = (weights * means).sum(2)
        return mean, (weights * (sigmas.square() + (means - mean[..., None]).square())).sum(2).sqrt()

    def in_units(self) -> Mixture:
        return replace(self, components=tuple(component.in_units() for component in self.components))

    def widened(self, scale: float) -> Mixture:
        return replace(self, components=tuple(component.widened(scale) for component in self.components))

    def parts(self) -> dict[str, Tensor]:
        parts = {"the prior's mixture weights": self.weights}
        for i, component in enumerate(self.components):
            parts |= {f"{name} (component {i})": part for name, part in component.parts().items()}
        return parts

    def _probabilities(self) -> Tensor:
        return self.weights.double() / self.weights.double().sum(1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Raters(Mixture):
    """The mixture of the priors of some raters, each as probable as the others."""

    described = "a mixture over raters"

    def of_graders(self, raters: Tensor) -> AxisAligned:
        """Of B * G images, one for each grader: the prior of rater raters[b, g], int64 (B, G), of image b."""
        components: Any = self.components
        rows = torch.arange(len(raters), device=raters.device)[:, None]
        mu, sigma = (torch.stack([getattr(c, name) for c in components], 1) for name in ("mu", "sigma"))
        return AxisAligned(*(values[rows, raters].flatten(0, 1) for values in (mu, sigma)))
