"""A Probabilistic U-Net of a declared structure as a method: it draws, and is stored, as the models made here are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution

from fastpunet.arguments import check_count, check_dims
from fastpunet.models.adapters.adapted import AdaptedModel
from fastpunet.models.adapters.sizes import with_size_that_fits
from fastpunet.models.affine import leaves
from fastpunet.models.declared.families import Family
from fastpunet.models.declared.layers import Layer
from fastpunet.models.declared.network import Combiner, GaussianNet, UNet


class DeclaredUNet(AdaptedModel):
    """A network that other code trained, rebuilt from its layers; `fastpunet.load` makes it from a state dict.

    Hypotheses are drawn as of any other Probabilistic U-Net. It is trained by its own code. Images whose size the
    U-Net does not take are padded by repeating the edge.

    Args:
        peer: the code that trained it, in words.
        in_channels: image channels.
        dims: 2 for images, 3 for volumes.
        features: channels of the U-Net's features.
        unet: keyword arguments of `declared.network.UNet`: down, up, merge and skip_first; or any module that maps
            images (B, C, *size) to features of their size. With a module, the model cannot be stored.
        gaussian: declared layers of the prior net.
        combiner: declared layers of the combiner.
        spread: "log-sigma" or "log-variance", the second half of what the prior net gives.
        clamp: the largest absolute mean and spread, or None.
        family: keyword arguments of `declared.families.Family`, for a prior that is no diagonal Gaussian; or None.
    """

    def __init__(
        self,
        *,
        peer: str,
        in_channels: int,
        features: int,
        unet: Mapping[str, Any] | nn.Module,
        gaussian: Sequence[Layer],
        combiner: Sequence[Layer],
        spread: str,
        clamp: Sequence[float] | None = None,
        family: Mapping[str, Any] | None = None,
        dims: int = 2,
    ) -> None:
        check_count("in_channels", in_channels)
        check_count("features", features)
        check_dims(dims)
        features_net = unet if isinstance(unet, nn.Module) else UNet(in_channels, dims, **unet)
        known = None if family is None else Family.read(family)
        prior = GaussianNet(gaussian, in_channels, dims, spread=spread, clamp=clamp, family=known)
        latent_dim = prior.latent_dim
        if isinstance(features_net, UNet) and features_net.out_channels != features:
            raise ValueError(
                f"features: got {features} that the combiner takes besides {latent_dim} latents, but its U-Net gives "
                f"{features_net.out_channels}; a network in which latents do not enter at the combiner cannot be loaded"
            )
        decoder = Combiner(combiner, features + latent_dim, dims)
        network = nn.ModuleDict({"unet": features_net, "prior": prior, "fcomb": decoder})
        super().__init__(network, partial(_encode, network), partial(network.__getitem__, "fcomb"))
        self.in_channels, self.dims, self.latent_dim = in_channels, dims, latent_dim
        self.config = dict(
            peer=str(peer),
            in_channels=in_channels,
            features=features,
            unet=unet if isinstance(unet, nn.Module) else dict(unet),
            gaussian=gaussian,
            combiner=combiner,
            spread=spread,
            clamp=None if clamp is None else list(clamp),
            dims=dims,
        )
        if known is not None:
            self.config["family"] = known._asdict()

    @property
    def name(self) -> str:
        return type(self).__name__

    def output_layers(self) -> Sequence[Any]:
        return [next(layer for layer in reversed(list(leaves(self.combiner))) if hasattr(layer, "out_channels"))]


def _encode(network: nn.ModuleDict, images: Tensor) -> tuple[Tensor, Distribution]:
    _, features, _ = with_size_that_fits(network["unet"], _itself, images)
    prior: Distribution = network["prior"](images)
    return features, prior


def _itself(features: Tensor, images: Tensor) -> Tensor:  # noqa: ARG001
    return features
