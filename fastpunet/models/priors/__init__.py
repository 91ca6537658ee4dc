"""Distributions over the latent space, one for each image, whose draws are a function of the noise alone."""

from fastpunet.models.priors.flow import Coupling, Flow
from fastpunet.models.priors.gaussians import AxisAligned, LowRank
from fastpunet.models.priors.mixture import Mixture, Raters
from fastpunet.models.priors.prior import OfNormals, Prior

__all__ = ["AxisAligned", "Coupling", "Flow", "LowRank", "Mixture", "OfNormals", "Prior", "Raters"]
