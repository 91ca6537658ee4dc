"""The convolutional parts: a block of convolutions, the contracting encoder and the U-Net, in two or three dimensions.

Module names follow the widely used PyTorch port, so state dicts move between the two unchanged. Shapes are written for
images (B, C, *size), where *size is H, W or D, H, W.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastpunet.models.scales import Scales, Sides

Conv: TypeAlias = nn.Conv2d | nn.Conv3d
CONV: dict[int, type[Any]] = {2: nn.Conv2d, 3: nn.Conv3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}  # the layout that CPU convolutions are fastest in
LINEAR_INTERPOLATION = {2: "bilinear", 3: "trilinear"}


def init_conv(conv: Conv) -> None:
    """He-normal weights cut off at two standard deviations, truncated-normal biases of sd 0.001 (authors' release)."""
    fan_in = conv.in_channels * math.prod(conv.kernel_size)
    std = math.sqrt(2 / fan_in) / 0.8796  # truncation at 2 sd reduces the standard deviation to 0.8796 of it
    nn.init.trunc_normal_(conv.weight, std=std, a=-2 * std, b=2 * std)
    init_bias(conv)


def init_bias(conv: Conv) -> None:
    if conv.bias is not None:
        nn.init.trunc_normal_(conv.bias, std=0.001, a=-0.002, b=0.002)


class _AvgPool3d(nn.AvgPool3d):
    """As nn.AvgPool2d does it: an axis of one voxel stays as it is, and half precision works on a CPU too."""

    kernel_size: Any

    def forward(self, x: Tensor) -> Tensor:
        sides = [min(side, length) for side, length in zip(self.kernel_size, x.shape[2:], strict=True)]
        exact = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return F.avg_pool3d(exact, sides, sides, ceil_mode=True).to(x.dtype)


_POOL: dict[int, type[Any]] = {2: nn.AvgPool2d, 3: _AvgPool3d}


def conv_block(in_channels: int, out_channels: int, convs: int, kernel: Sides, pool: Sides | None) -> list[nn.Module]:
    """Average pooling by `pool`, if there is any, then `convs` convolutions, each followed by a ReLU.

    kernel  the odd sides of the convolutions' kernels, which are padded to keep the size
    pool    the sides of what is pooled to one pixel; sizes are rounded up
    """
    dims = len(kernel)
    layers: list[nn.Module] = [] if pool is None else [_POOL[dims](pool, pool, ceil_mode=True)]
    for i in range(convs):
        padding = tuple(side // 2 for side in kernel)
        conv = CONV[dims](in_channels if i == 0 else out_channels, out_channels, kernel, padding=padding)
        init_conv(conv)
        layers += [conv, nn.ReLU(inplace=True)]
    return layers


class Encoder(nn.Module):
    """The contracting path: maps (B, in_channels, *size) to (B, channels[-1], *scales.grid_of(size)).

    scales: None stands for those as published.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        convs_per_block: int,
        dims: int = 2,
        scales: Scales | None = None,
    ) -> None:
        super().__init__()
        scales = scales or Scales.of(len(channels), dims)
        sizes = [in_channels, *channels]
        blocks = [
            conv_block(sizes[i], sizes[i + 1], convs_per_block, kernel, pool)
            for i, (kernel, pool) in enumerate(zip(scales.kernels, (None, *scales.pools), strict=True))
        ]
        self.layers = nn.Sequential(*(layer for block in blocks for layer in block))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class Down(nn.Module):
    """One scale, see `conv_block`. `drop`, if given, is applied to the convolutions' input."""

    def __init__(self, in_channels: int, out_channels: int, convs: int, kernel: Sides, pool: Sides | None) -> None:
        super().__init__()
        self.pool = pool is not None
        self.layers = nn.Sequential(*conv_block(in_channels, out_channels, convs, kernel, pool))

    def forward(self, x: Tensor, drop: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        if drop is None:
            return self.layers(x)
        x = drop(self.layers[0](x) if self.pool else x)
        return self.layers[int(self.pool) :](x)


class Up(nn.Module):
    """Linear up-sampling (align_corners) to the skip's size, [up, skip] concatenated, a convolution block."""

    def __init__(self, in_channels: int, out_channels: int, convs: int, kernel: Sides) -> None:
        super().__init__()
        self.interpolation = LINEAR_INTERPOLATION[len(kernel)]
        self.conv_block = Down(in_channels, out_channels, convs, kernel, None)

    def forward(self, x: Tensor, skip: Tensor, drop: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        up = F.interpolate(x, size=skip.shape[2:], mode=self.interpolation, align_corners=True)
        return self.conv_block(torch.cat((up, skip), dim=1), drop)


class UNet(nn.Module):
    """U-Net without normalisation and without a final 1x1 layer (Kohl et al. 2018, appendix).

    It maps images (B, in_channels, *size), of any size of at least 1, to features (B, channels[0], *size).
    scales: None stands for those as published.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        convs_per_block: int,
        dims: int = 2,
        scales: Scales | None = None,
    ) -> None:
        super().__init__()
        scales = scales or Scales.of(len(channels), dims)
        sizes = [in_channels, *channels]
        self.contracting_path = nn.ModuleList(
            Down(sizes[i], sizes[i + 1], convs_per_block, kernel, pool)
            for i, (kernel, pool) in enumerate(zip(scales.kernels, (None, *scales.pools), strict=True))
        )
        self.upsampling_path = nn.ModuleList(
            Up(channels[i + 1] + channels[i], channels[i], convs_per_block, scales.kernels[i])
            for i in reversed(range(len(channels) - 1))
        )

    def forward(self, images: Tensor) -> Tensor:
        skips = []
        x = images
        for down in self.contracting_path:
            x = down(x)
            skips.append(x)
        for up, skip in zip(self.upsampling_path, reversed(skips[:-1]), strict=True):
            x = up(x, skip)
        return x
