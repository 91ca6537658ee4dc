"""A latent map: latents on a coarse grid over the image, beside those of the whole image.

A latent of the whole image moves all pixels' logits by one rule, so that most hypotheses are level sets of one another.
A map has latents of its own for each part of the image, and can move one border and not another. It is interpolated to
the image's size, linearly and with aligned corners, as the U-Net interpolates its activations.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fastpunet.models.unet import LINEAR_INTERPOLATION


def interpolated(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps (N, C, *grid) at every pixel: (N, C, *size)."""
    return F.interpolate(maps, size=size, mode=LINEAR_INTERPOLATION[len(size)], align_corners=True)
