"""The part of the evidence lower bound that compares posteriors with the prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Normal

from fastpunet.models.priors import OfNormals, Raters


def compared(
    posterior: Normal, prior: OfNormals, z: Tensor, entropies: Tensor, raters: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """KL(posterior || prior) in parts (B, G, ...), and, with k > 1 samples, the importance-weighted bound (B, G).

    posterior  over (B, G, 1, latent_dim), a Gaussian for each of G graders of B images
    z          (B, G, k, latent_dim), k samples of each
    entropies  (B, G, k), the cross-entropies of the segmentations under these samples
    raters     int64 (B, G), whose segmentations they are, for a prior that tells raters apart

    The KL is exact for Gaussian priors: a part for each dimension if the prior is diagonal or one of raters, else one
    part. For mixtures and flows it is the mean of log q(z) - log p(z) over the samples, which is unbiased (Kingma and
    Welling 2014, arXiv 1312.6114, equation 6). The bound is that of Burda et al. 2016 (arXiv 1509.00519, equation 8).
    """
    images, graders, samples, _ = z.shape
    rows = images
    if isinstance(prior, Raters):
        prior, rows = prior.of_graders(_checked(raters, images, graders, len(prior.components))), images * graders
    loc, scale = (values.reshape(rows, -1, values.shape[-1]) for values in (posterior.loc, posterior.scale))
    kl, bound = prior.divergence(Normal(loc, scale, validate_args=False)), None
    if kl is None or samples > 1:
        log_prior = prior.log_density(z.reshape(rows, -1, z.shape[-1])).view(z.shape[:3])
        log_ratio = log_prior - posterior.log_prob(z).sum(-1)
        if samples > 1:
            bound = (math.log(samples) - (log_ratio - entropies).logsumexp(2)).to(z.dtype)
        kl = -log_ratio.mean(2, keepdim=True) if kl is None else kl
    return kl.reshape(images, graders, -1).to(z.dtype), bound


def _checked(raters: Tensor | None, images: int, graders: int, count: int) -> Tensor:
    shape = (images, graders)
    if not isinstance(raters, Tensor) or raters.shape != shape or raters.dtype != torch.int64:
        got = f"{raters.dtype} {tuple(raters.shape)}" if isinstance(raters, Tensor) else type(raters).__name__
        raise ValueError(
            f"raters: got {got}, expected int64 {shape}, the rater of each segmentation, because the prior depends on "
            "raters"
        )
    if not bool(((raters >= 0) & (raters < count)).all()):
        raise ValueError(f"raters: got {int(raters.min())} .. {int(raters.max())}, expected 0 .. {count - 1}")
    return raters
