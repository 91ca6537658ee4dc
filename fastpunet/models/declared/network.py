"""The parts of a declared network: U-Net, prior and posterior nets, and combiner."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from fastpunet.models.declared.families import Family
from fastpunet.models.declared.layers import Layer, build
from fastpunet.models.fcomb import broadcast_latents

LOG_SIGMA, LOG_VARIANCE = "log-sigma", "log-variance"  # what a prior net gives besides the mean


class UNet(nn.Module):
    """The declared U-Net, (B, C, *size) to features of the same size.

    down: the layers of each scale, of which the last one is the coarsest. up: layers that enlarge the map, from the
    coarsest scale on. merge: layers after the concatenation with the skip, which comes first if `skip_first`.
    """

    def __init__(
        self,
        channels: int,
        dims: int,
        *,
        down: Sequence[Sequence[Layer]],
        up: Sequence[Sequence[Layer]],
        merge: Sequence[Sequence[Layer]],
        skip_first: bool,
    ) -> None:
        super().__init__()
        if not len(down) - 1 == len(up) == len(merge):
            raise ValueError(
                f"unet: got {len(down)} scales down, {len(up)} up and {len(merge)} merged, expected one up and one "
                "merged for each scale but the last"
            )
        self.skip_first = skip_first
        self.down, self.up, self.merge = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        widths = []
        for layers in down:
            block, channels = build(layers, channels, dims)
            self.down.append(block)
            widths.append(channels)
        for enlarging, merging, skip in zip(up, merge, reversed(widths[:-1]), strict=True):
            block, channels = build(enlarging, channels, dims)
            self.up.append(block)
            block, channels = build(merging, channels + skip, dims)
            self.merge.append(block)
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips[:-1]), strict=True):
            x = up(x)
            x = merge(torch.cat((skip, x) if self.skip_first else (x, skip), dim=1))
        return x


class GaussianNet(nn.Module):
    """Declared layers that give mean and spread, (B, 2 L, 1, 1), as a diagonal Gaussian over (B, L), or a family.

    spread: "log-sigma" or "log-variance". clamp: the largest |mean| and |spread|, or None. Both are those of the
    diagonal Gaussian; with a family the layers give its numbers instead.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        channels: int,
        dims: int,
        *,
        spread: str,
        clamp: Sequence[float] | None,
        family: Family | None = None,
    ) -> None:
        super().__init__()
        if spread not in (LOG_SIGMA, LOG_VARIANCE):
            raise ValueError(f"spread: got {spread!r:.40}, expected {LOG_SIGMA} or {LOG_VARIANCE}")
        self.layers, width = build(layers, channels, dims)
        self.factor = 1.0 if spread == LOG_SIGMA else 0.5
        self.clamp = None if clamp is None else tuple(map(float, clamp))
        self.family, self.latent_dim = family, width // 2 if family is None else family.latent_dim
        if family is not None and family.numbers != width:
            raise ValueError(
                f"family: got {family!r:.120}, which takes {family.numbers} numbers, but there are {width}"
            )

    def forward(self, x: Tensor) -> Distribution:
        if self.family is not None:
            return self.family.of(self.layers(x).flatten(1))
        mean, spread = self.layers(x).flatten(1).chunk(2, dim=1)
        if self.clamp is not None:
            mean, spread = (v.clamp(-bound, bound) for v, bound in zip((mean, spread), self.clamp, strict=True))
        return Independent(Normal(mean, (spread * self.factor).exp(), validate_args=False), 1, validate_args=False)


class Combiner(nn.Module):
    """Declared layers over [features; z]."""

    def __init__(self, layers: Sequence[Layer], channels: int, dims: int) -> None:
        super().__init__()
        self.layers, self.num_classes = build(layers, channels, dims)

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        return self.layers(torch.cat((features, broadcast_latents(z, features)), dim=1))
