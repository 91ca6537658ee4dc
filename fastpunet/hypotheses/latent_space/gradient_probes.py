"""An estimate of how much probability maps change with a latent of many dimensions, by a few gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.latents import draw_latents
from fastpunet.models.latent_method import LatentEncoding
from fastpunet.models.priors import AxisAligned
from fastpunet.sampler import Sampler

_PROBES = 64  # on two lung slices, the plane then holds 99 % of the change that the exact one holds


def probed_sensitivity(sampler: Sampler, encoding: LatentEncoding, prior: AxisAligned, seed: int) -> Tensor:
    """An unbiased estimate of `latent_plane.sensitivity`, E[J^T J], float64 (latent_dim, latent_dim).

    For signs r, drawn independently for every probability, E[J^T r (J^T r)^T] = J^T J (Hutchinson 1990). J^T r is a
    gradient, whose cost does not grow with the dimensions, while exact differences need two hypotheses for each of
    them. Every probe has a draw of the prior and signs of its own, which are a function of the seed.
    """
    draws = draw_latents(prior.mu, prior.sigma, _PROBES, seed=seed, backend=sampler.backend)[0]
    signs = torch.Generator().manual_seed(seed)
    gradients = []
    for z in draws:
        with torch.enable_grad():
            latent = z.requires_grad_()
            logits = sampler.method.differentiable_logits(encoding, latent[None, None])[0, 0]
            probs = logits.sigmoid() if len(logits) == 1 else logits.softmax(0)
            r = 2 * torch.randint(2, probs.shape, generator=signs) - 1
            (gradient,) = torch.autograd.grad((probs * r.to(probs.device)).sum(), latent)
        gradients.append(gradient.double() * prior.sigma[0])
    rows = torch.stack(gradients)
    return rows.T @ rows / len(rows)
