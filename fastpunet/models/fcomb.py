"""f_comb: 1x1 convolutions over [features; z]; as published, and split so that z is never tiled."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastpunet.models.unet import CONV, init_bias
from fastpunet_kernels import Decoder


class FComb(nn.Module):
    """`num_layers` 1x1 convolutions, ReLU between them (Kohl et al. 2018, equation 2), in their published form."""

    def __init__(
        self, feature_channels: int, latent_dim: int, num_classes: int, num_layers: int, dims: int = 2
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(num_layers - 1):
            conv = CONV[dims](feature_channels + (latent_dim if i == 0 else 0), feature_channels, 1)
            layers += [conv, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.last_layer = CONV[dims](feature_channels, num_classes, 1)
        for module in self.modules():
            if isinstance(module, CONV[dims]):
                nn.init.orthogonal_(module.weight)
                init_bias(module)

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        """features (B, C, *size) and one latent an image, z (B, latent_dim), to logits (B, K, *size)."""
        tiled = broadcast_latents(z, features)
        return self.last_layer(self.layers(torch.cat((features, tiled), dim=1)))


def broadcast_latents(z: Tensor, like: Tensor) -> Tensor:
    """z (B, latent_dim) at every pixel of `like` (B, C, *size): a view (B, latent_dim, *size)."""
    return z.view(*z.shape, *[1] * (like.ndim - 2)).expand(-1, -1, *like.shape[2:])


class SplitFComb(NamedTuple):
    """f_comb cut at W1 [f; z] + b1 = (Wf f + b1) + Wz z: the share of the features, and all that follows."""

    feature_weight: Tensor  # (h, C)
    feature_bias: Tensor  # (h,)
    decoder: Decoder

    def base(self, features: Tensor) -> Tensor:
        """Wf f + b1 for features (B, C, H, W): float32 (B, H * W, h), computed once for all hypotheses."""
        return F.linear(features.flatten(2).transpose(1, 2), self.feature_weight, self.feature_bias)


def split_fcomb(fcomb: nn.Module, latent_dim: int) -> SplitFComb:
    """Split any f_comb with `layers` (1x1 convolutions, each followed by a ReLU) and `last_layer`.

    The last `latent_dim` input channels of the first convolution must be those of z. Weights are float32 and share
    storage with the module's where they already are. Raises ValueError for any other structure.
    """
    stages = list(fcomb.layers)  # type: ignore[arg-type]
    convs, activations = [*stages[0::2], fcomb.last_layer], stages[1::2]
    fits = (
        len(convs) >= 2
        and len(activations) == len(convs) - 1
        and all(isinstance(conv, nn.Conv2d) and conv.kernel_size == (1, 1) for conv in convs)
        and all(isinstance(activation, nn.ReLU) for activation in activations)
    )
    if not fits:
        raise ValueError(
            "model: fcomb must be 1x1 Conv2d and ReLU in turn in fcomb.layers, then a 1x1 Conv2d fcomb.last_layer; "
            f"got {[type(stage).__name__ for stage in stages]} and {type(fcomb.last_layer).__name__}"
        )
    if convs[-1].out_channels > 256:
        raise ValueError(f"model: got {convs[-1].out_channels} classes, expected at most 256 (labels are uint8)")
    weights = [conv.weight.detach().float()[:, :, 0, 0] for conv in convs]
    biases = [
        conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().float() for conv in convs
    ]
    features = weights[0].shape[1] - latent_dim
    decoder = Decoder(weights[0][:, features:], weights[1:], biases[1:])
    return SplitFComb(weights[0][:, :features], biases[0], decoder)
