"""The convolutional parts: a block of 3x3 convolutions, the contracting encoder and the U-Net.

Module names follow the widely used PyTorch port, so state dicts move between the two unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def init_conv(conv: nn.Conv2d) -> None:
    """He-normal weights cut off at two standard deviations, truncated-normal biases of sd 0.001 (authors' release)."""
    fan_in = conv.in_channels * conv.kernel_size[0] * conv.kernel_size[1]
    std = math.sqrt(2 / fan_in) / 0.8796  # what truncation at 2 sd takes away, given back
    nn.init.trunc_normal_(conv.weight, std=std, a=-2 * std, b=2 * std)
    init_bias(conv)


def init_bias(conv: nn.Conv2d) -> None:
    if conv.bias is not None:
        nn.init.trunc_normal_(conv.bias, std=0.001, a=-0.002, b=0.002)


def conv_block(in_channels: int, out_channels: int, convs: int, pool: bool) -> list[nn.Module]:
    """[2x2 average pooling,] then `convs` times 3x3 convolution and ReLU. Odd sizes pool to ceil(size / 2)."""
    layers: list[nn.Module] = [nn.AvgPool2d(2, 2, ceil_mode=True)] if pool else []
    for i in range(convs):
        conv = nn.Conv2d(in_channels if i == 0 else out_channels, out_channels, 3, padding=1)
        init_conv(conv)
        layers += [conv, nn.ReLU(inplace=True)]
    return layers


class Encoder(nn.Module):
    """The contracting path alone: (B, in_channels, H, W) to (B, channels[-1], ceil(H / 2^s), ceil(W / 2^s))."""

    def __init__(self, in_channels: int, channels: Sequence[int], convs_per_block: int) -> None:
        super().__init__()
        sizes = [in_channels, *channels]
        blocks = [conv_block(sizes[i], sizes[i + 1], convs_per_block, pool=i > 0) for i in range(len(channels))]
        self.layers = nn.Sequential(*(layer for block in blocks for layer in block))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class Down(nn.Module):
    """[Pooling and] convolutions; `enter`, if given, is what happens to their input, after pooling."""

    def __init__(self, in_channels: int, out_channels: int, convs: int, pool: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*conv_block(in_channels, out_channels, convs, pool))

    def forward(self, x: Tensor, enter: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        if enter is None:
            return self.layers(x)
        layers = list(self.layers)
        if isinstance(layers[0], nn.AvgPool2d):
            x = layers.pop(0)(x)
        x = enter(x)
        for layer in layers:
            x = layer(x)
        return x


class Up(nn.Module):
    """Bilinear up-sampling (align_corners) to the skip's size, [up, skip] concatenated, a convolution block."""

    def __init__(self, in_channels: int, out_channels: int, convs: int) -> None:
        super().__init__()
        self.conv_block = Down(in_channels, out_channels, convs, pool=False)

    def forward(self, x: Tensor, skip: Tensor, enter: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        up = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=True)
        return self.conv_block(torch.cat((up, skip), dim=1), enter)


class UNet(nn.Module):
    """U-Net without normalisation and without a final 1x1 layer (Kohl et al. 2018, appendix).

    images (B, in_channels, H, W), any H, W >= 1, to the decoder's last activations (B, channels[0], H, W).
    """

    def __init__(self, in_channels: int, channels: Sequence[int], convs_per_block: int) -> None:
        super().__init__()
        sizes = [in_channels, *channels]
        scales = len(channels)
        self.contracting_path = nn.ModuleList(
            Down(sizes[i], sizes[i + 1], convs_per_block, pool=i > 0) for i in range(scales)
        )
        self.upsampling_path = nn.ModuleList(
            Up(channels[i + 1] + channels[i], channels[i], convs_per_block) for i in reversed(range(scales - 1))
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
