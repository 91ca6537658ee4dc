"""The models. Each method is one module; what they share is a module of its own."""

from fastpunet.models.prob_unet import Elbo, ProbabilisticUNet

__all__ = ["Elbo", "ProbabilisticUNet"]
