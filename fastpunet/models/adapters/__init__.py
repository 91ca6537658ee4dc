"""Models written elsewhere, wrapped once so that they answer as our own methods do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fastpunet.models import foreign
from fastpunet.models.latent_method import LatentMethod
from fastpunet.models.method import LossTerms, Method
from fastpunet.models.priors import AxisAligned, Prior


def adapt(model: nn.Module) -> Method:
    """The model as a method: itself if it is one of ours, a wrapper if its parts are those of the PyTorch port."""
    inner = foreign.uncompiled(model)
    return inner if isinstance(inner, Method) else PortAdapter(foreign.check_model(inner))


class PortAdapter(LatentMethod):
    """A live model with the PyTorch port's `unet`, `prior` and `fcomb`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.in_channels = foreign.in_channels(model)
        self.num_classes = model.fcomb.last_layer.out_channels
        self.config = {}

    @property
    def name(self) -> str:
        return type(self.model).__name__

    @property
    def combiner(self) -> nn.Module:
        return self.model.fcomb

    def features_and_prior(self, images: Tensor) -> tuple[Tensor, Prior]:
        features, mu, sigma = foreign.encode(self.model, images)
        return features, AxisAligned(mu.float().contiguous(), sigma.float().contiguous())

    def loss_terms(self, *_: Any, **__: Any) -> LossTerms:
        raise TypeError(f"model: {self.name} is trained by its own code")

    def output_layers(self) -> Sequence[Any]:
        return [self.model.fcomb.last_layer]
