"""The hypothesis nearest to a full or partial annotation: the best of those drawn, then refined in the latent space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.arguments import check_count, check_switch
from fastpunet.hypotheses.drawn import Latents, drawn_log_probs
from fastpunet.hypotheses.fits.annotation import Annotation
from fastpunet.hypotheses.fits.evidence import Evidence
from fastpunet.hypotheses.fits.fit_result import BestFit, Fit
from fastpunet.hypotheses.fits.latent_fit import LatentFit
from fastpunet.hypotheses.one_image import encode_one
from fastpunet.hypotheses.plausibility import share_farther
from fastpunet.latents import SAMPLERS, check_seed
from fastpunet.sampler import Sampler


@torch.inference_mode(False)
@torch.no_grad()
def best_fit(
    model: nn.Module,
    image: Tensor,
    annotation: Annotation,
    n: int = 1000,
    *,
    seed: int = 0,
    id: int = 0,
    refine: bool = True,
    precision: str = "auto",
    backend: str = "auto",
) -> BestFit:
    """Find the hypothesis that fits an annotation best: log p(annotation | z) + log p(z | image) is largest.

    First among n hypotheses that are drawn, then from the best of these uphill along the gradient with respect to z
    (L-BFGS in float64), so that the result is never worse than the best one drawn. That is the mode of the posterior of
    z given the annotation: what the annotation leaves open, the prior decides. How much each part of the annotation
    counts against the prior is its weight (see `Annotation`).

    Args:
        model: any model that `fastpunet.sample` takes. A model without a latent, or whose hypotheses have no gradient,
            gives the nearest of the drawn hypotheses, and `BestFit.not_refined` says so.
        image: float (C, H, W), or (C, D, H, W) for a model of volumes, scaled as in training, on the model's device.
        annotation: an `Annotation` of the image's size.
        n, seed, precision, backend: see `fastpunet.sample`. Memory does not grow with n.
        id: the image's id: hypothesis k is that of `fastpunet.sample(..., ids=torch.tensor([id]))`.
        refine: whether to go on from the best drawn hypothesis.

    Raises ValueError or TypeError, naming the argument, for input that does not fit.

    >>> import fastpunet, torch
    >>> from fastpunet.data.lesions import SyntheticLesions
    >>> case = SyntheticLesions(1, seed=1)[0]
    >>> wanted = Annotation.mask(case.masks[0])
    >>> found = best_fit(fastpunet.load("lesions"), torch.tensor(case.image), wanted, n=100)
    >>> found.best.objective >= found.drawn.objective, found.agreement > 0.99
    (True, True)
    """
    n, seed = check_count("n", n, limit=SAMPLERS["random"]), check_seed(seed)
    id = check_count("id", id, least=0, limit=2**63 - 1)
    check_switch("refine", refine)
    sampler = Sampler(model, precision=precision, backend=backend)
    encoding = encode_one(sampler, image)
    evidence = Evidence.of(annotation, encoding.size, sampler.num_classes, sampler.device)
    latents = Latents.of(sampler, encoding, n, seed, id)
    start, mask, log_likelihood = _nearest(sampler, encoding, n, seed, id, evidence, latents.log_prior)
    z = None if latents.z is None else latents.z[start]
    reason = latents.why_no_gradient(sampler) if refine else "No refinement was asked for."
    if reason or z is None or latents.z is None:
        return BestFit(start, _fit(latents, evidence, mask, z, log_likelihood), None, reason)
    climber = LatentFit.of(sampler, encoding, evidence, latents.z)
    drawn = _fit(latents, evidence, mask, z, float(climber.log_likelihood(z)))
    found = climber.climb(z).float()
    if not float(climber.objective(found)) > drawn.objective:
        return BestFit(start, drawn, None, "Refinement found nothing better than the best hypothesis drawn.")
    mask = sampler.decode(encoding, found[None, None])[0, 0]
    return BestFit(start, drawn, _fit(latents, evidence, mask, found, float(climber.log_likelihood(found))), "")


def _fit(latents: Latents, evidence: Evidence, mask: Tensor, z: Tensor | None, log_likelihood: float) -> Fit:
    agreement = evidence.agreement(mask)
    if latents.prior is None or latents.z is None or latents.log_prior is None or z is None:
        return Fit(mask, z, log_likelihood, None, None, agreement)
    density = float(latents.prior.log_density(z[None, None]))
    share = float(share_farther(latents.prior, z[None], latents.z))
    return Fit(mask, z, log_likelihood, density, share, agreement)


def _nearest(
    sampler: Sampler, encoding: Any, n: int, seed: int, id: int, evidence: Evidence, log_prior: Tensor | None
) -> tuple[int, Tensor, float]:
    """Which drawn hypothesis fits best, its mask, and the log-likelihood of the annotation under it."""
    first, best, found = 0, -torch.inf, None
    for masks, log_probs in drawn_log_probs(sampler, encoding, n, seed, id, evidence.pixels):
        likelihoods = evidence.log_likelihood(log_probs)
        objectives = likelihoods if log_prior is None else likelihoods + log_prior[first : first + len(masks)]
        k = int(objectives.argmax())
        if found is None or float(objectives[k]) > best:
            best, found = float(objectives[k]), (first + k, masks[k].clone(), float(likelihoods[k]))
        first += len(masks)
    assert found is not None
    return found
