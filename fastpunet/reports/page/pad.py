"""The plane of the latent space that a page's reader moves in, and why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fastpunet.hypotheses.latent_space.gradient_probes import probed_sensitivity
from fastpunet.hypotheses.latent_space.latent_plane import LatentPlane, principal_axes, sensitivity
from fastpunet.models.latent_method import LatentEncoding
from fastpunet.models.priors import AxisAligned
from fastpunet.reports.page.drawn_cases import DrawnCase

REACH = 3.0  # standard deviations of the prior: 99 % of its draws lie within, seen in the plane
FEW_DIMENSIONS = 32  # of a latent whose derivatives are computed exactly


@dataclass(frozen=True, eq=False)
class Pad:
    encoding: LatentEncoding
    plane: LatentPlane


def find_pad(case: DrawnCase) -> Pad | str:
    """The plane through the prior's mean along which the hypotheses change most; or why there is none, in a sentence.

    It is that of `fastpunet latent`. Of a latent of many dimensions, as latent maps have, the axes are estimates.
    """
    encoding, name = case.encoding, case.sampler.method.name
    if case.z is None:
        return f"{name} has no latent that could be moved: its hypotheses are drawn in another way."
    if not isinstance(encoding, LatentEncoding):
        return (
            f"The page cannot decode latents of this {name}: each hypothesis takes a pass of its own networks, or of a "
            "combiner that is more than 1x1 convolutions with ReLUs between them."
        )
    prior = encoding.prior
    if not isinstance(prior, AxisAligned):
        return f"The prior of this {name} is no Gaussian with independent dimensions, in which a plane is measured."
    if prior.latent_dim < 2:
        return f"The latent of this {name} has a single dimension, and a plane needs two."
    with torch.no_grad():
        find = sensitivity if prior.latent_dim <= FEW_DIMENSIONS else probed_sensitivity
        axes = principal_axes(find(case.sampler, encoding, prior, case.request.seed))
    return Pad(encoding, LatentPlane(prior.mu[0], prior.sigma[0], axes))
