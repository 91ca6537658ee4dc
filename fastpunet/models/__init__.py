"""The methods, a module each, with the parts that they share, and models written elsewhere as methods."""

from fastpunet.models.dropout_unet import DropoutUNet
from fastpunet.models.ensemble import UNetEnsemble
from fastpunet.models.image2image_vae import Image2ImageVAE
from fastpunet.models.m_heads import MHeads
from fastpunet.models.method import LossTerms, Method
from fastpunet.models.prob_unet import ProbabilisticUNet
from fastpunet.models.ssn import SSN

METHODS: dict[str, type[Method]] = {
    method.__name__: method for method in (ProbabilisticUNet, DropoutUNet, UNetEnsemble, MHeads, Image2ImageVAE, SSN)
}

__all__ = [
    "METHODS",
    "SSN",
    "DropoutUNet",
    "Image2ImageVAE",
    "LossTerms",
    "MHeads",
    "Method",
    "ProbabilisticUNet",
    "UNetEnsemble",
]
