"""A latent map: latents on a coarse grid over the image, beside those of the whole image.

A latent of the whole image moves all pixels' logits by one rule, so that most hypotheses are level sets of one another.
A map has latents of its own for each part of the image, and can move one border and not another. It is interpolated to
the image's size, linearly and with aligned corners, as the U-Net interpolates its activations. The combiner's first
layer is linear, so that its share of the map is interpolated instead of the map itself.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from fastpunet.models.unet import LINEAR_INTERPOLATION


def grid_of(size: tuple[int, ...], scales: int) -> tuple[int, ...]:
    """The size of the coarsest scale of a U-Net with `scales` scales, for images of `size` pixels.

    >>> grid_of((64, 50), scales=4)
    (8, 7)
    """
    return tuple(-(-length // 2 ** (scales - 1)) for length in size)


def interpolated(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps (N, C, *grid) at every pixel: (N, C, *size)."""
    return F.interpolate(maps, size=size, mode=LINEAR_INTERPOLATION[len(size)], align_corners=True)


def first_layer_of_maps(z: Tensor, weight: Tensor, grid: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    """The share of latent maps in a combiner's first layer, for every pixel: (B, n, P, h), with gradients.

    z (B, n, S * cells), the maps of n hypotheses with their cells flattened; weight (h, S), the layer's columns of the
    maps. The products are summed in a fixed order, so that a hypothesis has the same bits in any company.
    """
    maps = z.unflatten(2, (-1, math.prod(grid)))  # (B, n, S, cells)
    products = (maps[:, :, channel, :, None] * weight[:, channel] for channel in range(weight.shape[1]))
    coarse = sum(products)  # (B, n, cells, h), which `interpolated` takes as channels-last maps
    flat = coarse.flatten(0, 1).unflatten(1, grid).movedim(-1, 1)
    return interpolated(flat, size).movedim(1, -1).flatten(1, -2).unflatten(0, z.shape[:2])
