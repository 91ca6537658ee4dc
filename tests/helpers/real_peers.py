"""Models of the packages themselves, where they are installed; each with what its sampling loop calls."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

LATENTS = 4


class RealPeer:
    """A package's model, a batch of images, and the model's own sampling loop."""

    def __init__(self, model: nn.Module, unet: nn.Module, images: Tensor, begin: Callable[[Tensor], Any]) -> None:
        self.model, self.images, self.begin, self._unet = model, images, begin, unet

    def hypothesis(self) -> Tensor:
        return self.model.sample()

    def own_logits(self, images: Tensor, z: Tensor) -> Tensor:
        return self.model.fcomb(self._unet(images), z)


def uq_box(width: int = 8, size: tuple[int, int] = (32, 64)) -> RealPeer:
    methods = importlib.import_module("lightning_uq_box.uq_methods")
    smp = importlib.import_module("segmentation_models_pytorch")
    unet = smp.Unet("resnet18", encoder_weights=None, in_channels=3, classes=2)
    filters = [width, 2 * width]
    model = methods.ProbUNet(unet, latent_dim=LATENTS, num_filters=filters, fcomb_filter_size=max(width, 16))
    return RealPeer(model, model.model, torch.rand(2, 3, *size), model.predict_step)


def torch_em(width: int = 8, size: tuple[int, int] = (96, 128), classes: int = 1) -> RealPeer:
    """Its prior net, without padding, takes no images much smaller than these."""
    module = importlib.import_module("torch_em.model.probabilistic_unet")
    filters, device = [width, 2 * width, 4 * width], torch.device("cpu")
    model = module.ProbabilisticUNet(1, classes, num_filters=filters, latent_dim=LATENTS, device=device)
    return RealPeer(model, model.unet, torch.rand(2, 1, *size), model.forward)


REAL_PEERS: dict[str, Callable[..., RealPeer]] = {"lightning-uq-box": uq_box, "torch-em": torch_em}
