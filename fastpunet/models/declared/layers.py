"""Builds layers from their declaration in a checkpoint's header: a list of lists such as ["conv", 32, 3, 1, true]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from fastpunet.models.unet import CONV, LINEAR_INTERPOLATION

Layer = Sequence[Any]  # the kind of a layer and its arguments
_Build = Callable[
    ..., tuple[nn.Module, int]
]  # channels in, dims and a layer's arguments, to the layer and channels out


class Upsample(nn.Module):
    """Linear up-sampling by 2."""

    def __init__(self, mode: str, align_corners: bool) -> None:
        super().__init__()
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode=self.mode, align_corners=self.align_corners)


class GlobalMean(nn.Module):
    """The mean over space, (B, C, *size) to (B, C, 1, 1) or (B, C, 1, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


def build(layers: Sequence[Layer], channels: int, dims: int) -> tuple[nn.Sequential, int]:
    """The declared layers, for inputs of so many channels, and the channels of their output.

    Each layer is one of
        conv WIDTH SIDE PADDING BIAS, transposed-conv WIDTH SIDE PADDING BIAS (which doubles the size),
        average-pool CEIL, max-pool, upsample ALIGN_CORNERS, global-mean,
        relu, leaky-relu SLOPE, batch-norm EPSILON, instance-norm EPSILON.
    Raises ValueError for any other.

    >>> build([["conv", 4, 3, 1, True], ["relu"]], channels=1, dims=2)[1]
    4
    """
    modules = []
    for layer in layers:
        try:
            kind, *arguments = layer
            module, channels = _BUILD[kind](channels, dims, *arguments)
        except (TypeError, ValueError, KeyError, RuntimeError, OverflowError):
            raise ValueError(f"layers: got {layer!r:.80}, expected one of {', '.join(_BUILD)}, and its sizes") from None
        modules.append(module)
    return nn.Sequential(*modules), channels


def _conv(channels: int, dims: int, width: int, side: int, padding: int, bias: bool) -> tuple[nn.Module, int]:
    return CONV[dims](channels, width, side, padding=padding, bias=bias), width


def _transposed(channels: int, dims: int, width: int, side: int, padding: int, bias: bool) -> tuple[nn.Module, int]:
    kind = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
    return kind(channels, width, side, 2, padding=padding, output_padding=2 + 2 * padding - side, bias=bias), width


def _average_pool(channels: int, dims: int, ceil: bool) -> tuple[nn.Module, int]:
    return {2: nn.AvgPool2d, 3: nn.AvgPool3d}[dims](2, 2, ceil_mode=bool(ceil)), channels


def _max_pool(channels: int, dims: int) -> tuple[nn.Module, int]:
    return {2: nn.MaxPool2d, 3: nn.MaxPool3d}[dims](2), channels


def _upsample(channels: int, dims: int, align_corners: bool) -> tuple[nn.Module, int]:
    return Upsample(LINEAR_INTERPOLATION[dims], bool(align_corners)), channels


def _batch_norm(channels: int, dims: int, epsilon: float) -> tuple[nn.Module, int]:
    return {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims](channels, float(epsilon)), channels


def _instance_norm(channels: int, dims: int, epsilon: float) -> tuple[nn.Module, int]:
    return {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dims](channels, float(epsilon)), channels


_BUILD: dict[str, _Build] = {
    "conv": _conv,
    "transposed-conv": _transposed,
    "average-pool": _average_pool,
    "max-pool": _max_pool,
    "upsample": _upsample,
    "global-mean": lambda channels, _: (GlobalMean(), channels),
    "relu": lambda channels, _: (nn.ReLU(), channels),
    "leaky-relu": lambda channels, _, slope: (nn.LeakyReLU(float(slope)), channels),
    "batch-norm": _batch_norm,
    "instance-norm": _instance_norm,
}
