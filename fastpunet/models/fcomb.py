"""f_comb, 1x1 convolutions over [features; z]: in its published form, and split so that z need not be tiled."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from fastpunet.models.affine import Affine, leaves, read_layers
from fastpunet.models.latent_maps import interpolated
from fastpunet.models.scales import Scales
from fastpunet.models.unet import CONV, init_bias
from fastpunet_kernels import Decoder


class FComb(nn.Module):
    """`num_layers` 1x1 convolutions, ReLU between them (Kohl et al. 2018, equation 2), in their published form.

    They are `width` channels wide, by default as wide as the features. With `maps`, z has that many latents in every
    cell of a grid as well, which are interpolated to the features' size (see `latent_maps`); the U-Net's `scales`
    decide the grid.
    """

    def __init__(
        self,
        feature_channels: int,
        latent_dim: int,
        num_classes: int,
        num_layers: int,
        dims: int = 2,
        *,
        width: int | None = None,
        maps: int = 0,
        scales: Scales | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim, self.maps, self.scales = latent_dim, maps, scales or Scales.of(1, dims)
        width = width or feature_channels
        layers: list[nn.Module] = []
        for i in range(num_layers - 1):
            conv = CONV[dims](feature_channels + latent_dim + maps if i == 0 else width, width, 1)
            layers += [conv, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.last_layer = CONV[dims](width, num_classes, 1)
        for module in self.modules():
            if isinstance(module, CONV[dims]):
                nn.init.orthogonal_(module.weight)
                init_bias(module)

    def split(self) -> SplitFComb:
        """The first layer split off as `flatten_combiner` does, but with the weights themselves, for training."""
        convs = [layer for layer in (*self.layers, self.last_layer) if isinstance(layer, _ConvNd)]
        weights = [conv.weight.flatten(1) for conv in convs]
        biases = [conv.bias for conv in convs if conv.bias is not None]
        feature_weight, z_weight = weights[0].tensor_split([-self.latent_dim - self.maps], dim=1)
        return SplitFComb(feature_weight, biases[0], Decoder(z_weight, weights[1:], biases[1:]))

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        """Logits (B, K, *size) of features (B, C, *size) and one latent per image, z (B, latent_dim + maps * cells)."""
        size = tuple(features.shape[2:])
        parts = [features, broadcast_latents(z[:, : self.latent_dim], features)]
        if self.maps:
            maps = z[:, self.latent_dim :].unflatten(1, (self.maps, *self.scales.grid_of(size)))
            parts.append(interpolated(maps, size))
        return self.last_layer(self.layers(torch.cat(parts, dim=1)))


def broadcast_latents(z: Tensor, like: Tensor) -> Tensor:
    """z (B, latent_dim) at every pixel of `like` (B, C, *size): a view (B, latent_dim, *size)."""
    return z.view(*z.shape, *[1] * (like.ndim - 2)).expand(-1, -1, *like.shape[2:])


class SplitFComb(NamedTuple):
    """A combiner whose first layer is split, W1 [f; z] + b1 = (Wf f + b1) + Wz z: the part of f, and all the rest."""

    feature_weight: Tensor  # float32 (h, C)
    feature_bias: Tensor  # float32 (h,)
    decoder: Decoder
    last_activation: str | None = None  # "sigmoid", "softmax" or "log-softmax": what the combiner does to its logits

    def base(self, features: Tensor) -> Tensor:
        """Wf f + b1 for features (B, C, *size): float32 (B, pixels, h), computed once for all hypotheses."""
        return F.linear(features.flatten(2).transpose(1, 2), self.feature_weight, self.feature_bias)


def flatten_combiner(combiner: nn.Module, latent_dim: int, *, latents_first: bool = False) -> SplitFComb:
    """Read a combiner of any module structure in the form of the kernels: affine maps with ReLUs between them.

    The combiner's modules are taken in the order of their registration. They may be 1x1 convolutions, linear layers,
    BatchNorm (as in evaluation mode), ReLU, LeakyReLU, PReLU, identities and dropout (which does nothing in evaluation
    mode), with a sigmoid of one class or a softmax at the end. A leaky ReLU becomes a ReLU of twice the width,
    max(x, 0) - a max(-x, 0).

    The last `latent_dim` inputs of the first layer are those of z, or the first ones if `latents_first`. The result
    holds copies of the current weights, after forward pre-hooks such as weight_norm's. The caller must verify that the
    combiner's forward pass does nothing else. Raises ValueError, with the reason, for a combiner that cannot be read
    this way.

    >>> split = flatten_combiner(nn.Sequential(nn.Conv2d(5, 4, 1), nn.LeakyReLU(0.1), nn.Conv2d(4, 1, 1)), latent_dim=2)
    >>> split.feature_weight.shape, split.decoder.z_weight.shape
    (torch.Size([8, 3]), torch.Size([8, 2]))
    """
    layers, last_activation = _read(combiner, latent_dim)
    if len(layers) == 1:  # no activation at all, which is max(x, 0) - max(-x, 0)
        layers.append(Affine(torch.eye(len(layers[0].bias)).to(layers[0].bias), torch.zeros_like(layers[0].bias)))
    weights, biases = _with_relus(layers)
    if len(biases[-1]) > 256:
        raise ValueError(f"model: got {len(biases[-1])} classes, expected at most 256 (labels are uint8)")
    parts = weights[0].tensor_split([latent_dim if latents_first else -latent_dim], dim=1)
    z_weight, feature_weight = parts if latents_first else parts[::-1]
    decoder = Decoder(z_weight.contiguous(), weights[1:], biases[1:])
    return SplitFComb(feature_weight.contiguous(), biases[0], decoder, last_activation)


def combiner_inputs(combiner: nn.Module) -> int:
    """Input channels of a combiner, those of features and z together. ValueError if it cannot be read."""
    return _read(combiner, latent_dim=0)[0][0].weight.shape[1]


def _read(combiner: nn.Module, latent_dim: int) -> tuple[list[Affine], str | None]:
    modules = [_with_hooks_run(module) for module in leaves(combiner)]
    try:
        layers, last_activation = read_layers(modules)
        _check_ends(layers, last_activation, latent_dim)
    except ValueError as error:
        raise ValueError(
            f"model: its combiner cannot be read as 1x1 convolutions with ReLUs between them, because it has {error}; "
            f"it holds {', '.join(type(module).__name__ for module in modules) or 'no modules'}"
        ) from None
    return layers, last_activation


def _with_hooks_run(module: nn.Module) -> nn.Module:
    """The module; or, if it has forward pre-hooks, a shallow copy with the weight that they compute now."""
    if not module._forward_pre_hooks or not isinstance(module, (_ConvNd, nn.Linear)):
        return module
    copied = copy(module)  # the hooks set attributes on the copy, not on the module itself
    copied.training = False
    size = (module.in_features,) if isinstance(module, nn.Linear) else (module.in_channels, *module.kernel_size)
    with torch.no_grad():
        copied(next(module.parameters()).new_zeros(1, *size))
    return copied


def _check_ends(layers: list[Affine], last_activation: str | None, latent_dim: int) -> None:
    inputs, classes = layers[0].weight.shape[1], layers[-1].weight.shape[0]
    if inputs <= latent_dim:
        raise ValueError(f"{inputs} inputs, no more than the latent's {latent_dim}")
    if last_activation == "sigmoid" and classes > 1:
        raise ValueError(f"a sigmoid of each of {classes} classes at the end, so that they do not exclude each other")
    if last_activation in ("softmax", "log-softmax") and classes == 1:
        raise ValueError(f"a {last_activation} of a single class at the end, which is constant")


def _with_relus(layers: list[Affine]) -> tuple[list[Tensor], list[Tensor]]:
    """The same function with plain ReLUs only: its weights and biases, as float32 copies."""
    weights: list[Tensor] = []
    biases: list[Tensor] = []
    slope_before: float | Tensor = 0.0
    for i, layer in enumerate(layers):
        weight, bias = layer.weight, layer.bias
        if _leaks(slope_before):
            weight = torch.cat((weight, -weight * slope_before), dim=1)
        if i < len(layers) - 1 and _leaks(layer.slope):
            weight, bias = torch.cat((weight, -weight)), torch.cat((bias, -bias))
        slope_before = layer.slope
        weights.append(weight.to(torch.float32, copy=True).contiguous())
        biases.append(bias.to(torch.float32, copy=True).contiguous())
    return weights, biases


def _leaks(slope: float | Tensor) -> bool:
    return isinstance(slope, Tensor) or slope != 0
