"""Searches the latent that fits an annotation best under the prior, by gradients through the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fastpunet.hypotheses.fits.evidence import Evidence, label_log_probs
from fastpunet.models.twin import evaluation_twin
from fastpunet.sampler import Sampler

_STEPS = 50  # of L-BFGS; it mostly needs fewer than 20
_LEAST_EIGENVALUE = 1e-3  # of the curvature, as a share of that of the prior's scale: keeps a proposal proper


@dataclass(frozen=True, eq=False)
class LatentFit:
    """The objective log p(annotation | z) + log p(z | image) of one encoded image, in nats, and its ascent.

    Its maximum over z is the mode of the posterior p(z | annotation, image) (MAP). It is computed in float64.
    scale: float64 (latent_dim,), the spread of the prior's draws along each dimension, as units of the search.
    """

    method: Any
    encoding: Any
    evidence: Evidence
    scale: Tensor

    @staticmethod
    def of(sampler: Sampler, encoding: Any, evidence: Evidence, draws: Tensor) -> LatentFit:
        """draws: some latents (n, latent_dim) of the prior."""
        method = sampler.method
        if method.draws_by_networks(encoding):
            method = evaluation_twin(method)
        scale = draws.double().std(0) if len(draws) > 1 else torch.ones_like(draws[0], dtype=torch.float64)
        return LatentFit(method, encoding, evidence, scale.clamp(min=1e-6))

    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(annotation | z) in nats, float64 (), of one latent (latent_dim,)."""
        logits = self.method.differentiable_logits(self.encoding, z.double()[None, None], self.evidence.pixels)
        return self.evidence.log_likelihood(label_log_probs(logits[0]))[0]

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z | image) in nats, float64 ()."""
        return self.encoding.prior.log_density(z.double()[None, None])[0, 0]

    def objective(self, z: Tensor) -> Tensor:
        return self.log_likelihood(z) + self.log_prior(z)

    def climb(self, start: Tensor) -> Tensor:
        """A latent, float64 (latent_dim,), whose objective is at least that of `start`, by L-BFGS from there."""
        origin = start.detach().double()
        best = (float(self.objective(origin)), origin)
        moved = torch.zeros_like(origin, requires_grad=True)
        search = torch.optim.LBFGS([moved], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def descend() -> float:
            nonlocal best
            z = origin + self.scale * moved
            loss = -self.objective(z)
            (moved.grad,) = torch.autograd.grad(loss, moved)
            value = loss.item()
            if -value > best[0]:
                best = (-value, z.detach())
            return value

        search.step(descend)
        return best[1]

    def curvature(self, z: Tensor) -> Tensor:
        """Minus the objective's second derivatives at z, float64 (latent_dim, latent_dim), made positive definite."""
        z = z.detach().double()
        hessian = -torch.autograd.functional.hessian(self.objective, z)
        in_units = self.scale[:, None] * hessian * self.scale
        values, vectors = torch.linalg.eigh((in_units + in_units.T) / 2)
        proper = (vectors * values.clamp(min=_LEAST_EIGENVALUE)) @ vectors.T
        return proper / self.scale[:, None] / self.scale
