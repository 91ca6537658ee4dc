"""Places annotations in the latent space of their image, and proposes where to draw latents that explain them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from fastpunet.data import IGNORE
from fastpunet.hypotheses.drawn import Latents
from fastpunet.hypotheses.fits.annotation import Annotation
from fastpunet.hypotheses.fits.evidence import Evidence
from fastpunet.hypotheses.fits.latent_fit import LatentFit
from fastpunet.hypotheses.plausibility import mahalanobis, share_farther
from fastpunet.sampler import Sampler
from fastpunet_kernels import fixed_precision

_WIDTHS = (1.0, 2.0)  # of Laplace's approximation; the wider one has the tails that a decoder with kinks causes


class Placed(NamedTuple):
    """M annotations in the latent space; the fields are those of `Assessment`.

    proposals  for each annotation, distributions (latent_dim,) near the latents that explain it; empty if none is known
    """

    position: Tensor | None
    distance: Tensor | None
    plausibility: Tensor | None
    kl: Tensor | None
    proposals: list[list[MultivariateNormal]]
    missing: dict[str, str]


def place(
    sampler: Sampler,
    image: Tensor,
    encoding: Any,
    labels: Tensor,
    latents: Latents,
    log_likelihoods: Tensor,
    *,
    laplace: bool,
) -> Placed:
    """Place annotations int (M, *size) of one image.

    log_likelihoods: float64 (n, M), log p(y | z) of each under each of the `latents`, where the search for its best fit
    starts. laplace: whether proposals lie around the best fits too, which are then searched also where a posterior net
    gives positions.
    """
    missing: dict[str, str] = {}
    posterior = _posterior(sampler, image, labels)
    proposals: list[list[MultivariateNormal]] = [[] for _ in labels]
    position = kl = distance = plausibility = None
    if posterior is not None:
        position = posterior.loc
        for found, mean, sigma in zip(proposals, posterior.loc.double(), posterior.scale.double(), strict=True):
            found.append(MultivariateNormal(mean, scale_tril=torch.diag(sigma), validate_args=False))
    reason = latents.why_no_gradient(sampler)
    if not reason and (laplace or posterior is None):
        fitted = _best_fits(sampler, encoding, labels, latents, log_likelihoods, position)
        for found, (fit, z) in zip(proposals, fitted, strict=True) if laplace else ():
            curvature = fit.curvature(z)
            found += [
                MultivariateNormal(z, precision_matrix=curvature / width**2, validate_args=False) for width in _WIDTHS
            ]
        if position is None:
            position = torch.stack([z for _, z in fitted]).float()
    if position is None:
        missing["position"] = reason
    if latents.prior is None or latents.z is None or position is None:
        missing |= dict.fromkeys(("distance", "plausibility"), reason)
    else:
        distance, plausibility = _how_far(latents, position, missing)
    if posterior is None or latents.prior is None:
        missing["kl"] = f"No posterior net of {sampler.method.name} is known."
    else:
        own = Normal(posterior.loc.double()[None], posterior.scale.double()[None], validate_args=False)
        divergence = latents.prior.divergence(own)
        kl = None if divergence is None else divergence[0].sum(1)
        if kl is None:
            missing["kl"] = f"The divergence from the prior, {latents.prior.described}, has no closed form."
    return Placed(position, distance, plausibility, kl, proposals, missing)


def _posterior(sampler: Sampler, image: Tensor, labels: Tensor) -> Normal | None:
    """The posterior q(z | image, segmentation) over (M, latent_dim); None for a model that has none."""
    model: Any = sampler.method
    if not hasattr(model, "posterior_of"):
        return None
    with fixed_precision("ieee", sampler.device):
        images = image.to(model.dtype).expand(len(labels), *image.shape)
        found: Normal = model.posterior_of(images, labels, IGNORE).base_dist
    return found


def _best_fits(
    sampler: Sampler,
    encoding: Any,
    labels: Tensor,
    latents: Latents,
    log_likelihoods: Tensor,
    position: Tensor | None,
) -> list[tuple[LatentFit, Tensor]]:
    """The latent that fits each annotation best, by ascent from its best hypothesis, or its position."""
    assert latents.z is not None
    assert latents.log_prior is not None
    found = []
    for m, mask in enumerate(labels):
        evidence = Evidence.of(Annotation.mask(mask), encoding.size, sampler.num_classes, sampler.device)
        fit = LatentFit.of(sampler, encoding, evidence, latents.z)
        start = latents.z[int((log_likelihoods[:, m] + latents.log_prior).argmax())]
        if position is not None and float(fit.objective(position[m])) > float(fit.objective(start)):
            start = position[m]
        found.append((fit, fit.climb(start)))
    return found


def _how_far(latents: Latents, position: Tensor, missing: dict[str, str]) -> tuple[Tensor | None, Tensor | None]:
    """Mahalanobis distances, and shares of draws farther out; None, and why in `missing`, where they are unknown."""
    assert latents.prior is not None
    assert latents.z is not None
    distance = plausibility = None
    try:
        distance = mahalanobis(latents.prior, position)
    except TypeError as error:
        missing["distance"] = f"{error}."
    try:
        plausibility = share_farther(latents.prior, position, latents.z)
    except TypeError as error:
        missing["plausibility"] = f"{error}."
    return distance, plausibility
