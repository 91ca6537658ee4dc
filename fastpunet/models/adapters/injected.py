"""Models whose U-Net contains the combiner: it keeps its last activations and decodes further latents from them.

These are the networks of jenspetersen/probabilistic-unet and its descendants, such as PULASki. In evaluation mode their
`task_net(image, z)` stores `last_activations`, and `task_net(None, z, reuse_last_activations=True)` begins with them.
"""

from __future__ import annotations

from contextlib import ExitStack
from itertools import takewhile
from typing import Any

from torch import Tensor, nn

from fastpunet.models.adapters.observing import Memory
from fastpunet.models.adapters.parts import REUSE, attribute
from fastpunet.models.adapters.sizes import with_size_that_fits
from fastpunet.models.affine import is_pointwise


class InjectedCombiner(nn.Module):
    """The last layers of such a U-Net, as a combiner of features (B, C, *size) and latents (B, latent_dim)."""

    def __init__(self, unet: nn.Module, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._unets = [unet]  # in a list, because it is no part of the combiner

    def forward(self, features: Tensor, z: Tensor) -> Any:
        unet: Any = self._unets[0]
        unet.last_activations = features
        return unet(None, z.view(*z.shape, *[1] * (features.ndim - 2)), **{REUSE: True})


def combiner_of(model: nn.Module, path: str, memory: Memory) -> nn.Module:
    """The combiner inside the U-Net at that path of attributes: the layers that ran in the last pass."""
    unet = attribute(model, path)
    layers = _pointwise(unet)
    return InjectedCombiner(unet, [layers[name] for name in memory.ran or layers])


def run_injected(model: nn.Module, path: str, memory: Memory, images: Tensor) -> tuple[Tensor, Any]:
    """Return the features (B, F, *size) and the prior of images (B, C, *size).

    `model` is a twin in evaluation mode, in which its forward pass stores both. Raises TypeError if it does not.
    """
    unet: Any = attribute(model, path)

    def run(padded: Tensor) -> Any:
        unet.last_activations = None
        ran: list[str] = []
        with ExitStack() as hooks:
            for name, layer in _pointwise(unet).items():
                hooks.enter_context(layer.register_forward_hook(lambda *_, name=name: ran.append(name)))
            model(padded)
        memory.ran = ran
        if not isinstance(unet.last_activations, Tensor):
            raise TypeError(
                f"model: its U-Net, a {type(unet).__name__}, stores no last_activations, so that latents seem to enter "
                "it before its last layers; this is not supported, because every hypothesis would then take a pass of "
                "the U-Net"
            )
        return getattr(model, "prior", None)

    prior, features, _ = with_size_that_fits(run, lambda _, __: unet.last_activations, images)
    return features, prior


def _pointwise(unet: nn.Module) -> dict[str, nn.Module]:
    """The layers at the end of a U-Net, in order, that act on each pixel separately."""
    last_first = takewhile(lambda child: is_pointwise(child[1]), reversed(list(unet.named_children())))
    return dict(reversed(list(last_first)))
