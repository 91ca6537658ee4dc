"""A model of the PyTorch port's shape, written afresh from its interface: what users bring, and the loop they run.

Attribute and parameter names, the tiling of z by an index built on the CPU at each call, and the state left on the
object are the port's; so is the U-Net's demand that sides be divisible by 2^(scales - 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent, Normal


def _convs(channels: Sequence[int], pool: bool) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.AvgPool2d(kernel_size=2, stride=2, ceil_mode=True)] if pool else []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return layers


class _Block(nn.Module):
    def __init__(self, channels: Sequence[int], pool: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_convs(channels, pool))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class _UpBlock(nn.Module):
    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.conv_block = _Block(channels, pool=False)

    def forward(self, x: Tensor, bridge: Tensor) -> Tensor:
        up = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        assert up.shape[3] == bridge.shape[3]
        return self.conv_block(torch.cat((up, bridge), 1))


class _Unet(nn.Module):
    def __init__(self, input_channels: int, num_filters: Sequence[int]) -> None:
        super().__init__()
        inputs = [input_channels, *num_filters]
        self.contracting_path = nn.ModuleList(
            _Block([inputs[i], width, width, width], pool=i > 0) for i, width in enumerate(num_filters)
        )
        self.upsampling_path = nn.ModuleList(
            _UpBlock([num_filters[i + 1] + num_filters[i]] + 3 * [num_filters[i]])
            for i in reversed(range(len(num_filters) - 1))
        )

    def forward(self, x: Tensor, val: bool) -> Tensor:  # noqa: ARG002  the port's signature
        blocks = []
        for i, down in enumerate(self.contracting_path):
            x = down(x)
            if i != len(self.contracting_path) - 1:
                blocks.append(x)
        for i, up in enumerate(self.upsampling_path):
            x = up(x, blocks[-i - 1])
        return x


class _Encoder(nn.Module):
    def __init__(self, input_channels: int, num_filters: Sequence[int]) -> None:
        super().__init__()
        inputs = [input_channels, *num_filters]
        layers: list[nn.Module] = []
        for i, width in enumerate(num_filters):
            layers += _convs([inputs[i], width, width, width], pool=i > 0)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class _AxisAlignedConvGaussian(nn.Module):
    def __init__(self, input_channels: int, num_filters: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = _Encoder(input_channels, num_filters)
        self.conv_layer = nn.Conv2d(num_filters[-1], 2 * latent_dim, (1, 1))
        self.show_img: Tensor | int = 0

    def forward(self, x: Tensor, segm: Tensor | None = None) -> Independent:
        self.show_img = x
        encoding = self.encoder(x if segm is None else torch.cat((x, segm), dim=1))
        mu_log_sigma = self.conv_layer(encoding.mean(dim=(2, 3), keepdim=True)).squeeze(-1).squeeze(-1)
        mu, log_sigma = mu_log_sigma[:, : self.latent_dim], mu_log_sigma[:, self.latent_dim :]
        return Independent(Normal(mu, torch.exp(log_sigma)), 1)


class _Fcomb(nn.Module):
    def __init__(self, width: int, latent_dim: int, num_classes: int, no_convs_fcomb: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(width + latent_dim, width, 1), nn.ReLU(inplace=True)]
        for _ in range(no_convs_fcomb - 2):
            layers += [nn.Conv2d(width, width, 1), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.last_layer = nn.Conv2d(width, num_classes, 1)

    def tile(self, a: Tensor, dim: int, times: int) -> Tensor:
        length = a.size(dim)
        repeats = [1] * a.dim()
        repeats[dim] = times
        order = np.concatenate([length * np.arange(times) + i for i in range(length)])
        return torch.index_select(a.repeat(*repeats), dim, torch.from_numpy(order).to(a.device))

    def forward(self, feature_map: Tensor, z: Tensor) -> Tensor:
        z = self.tile(z.unsqueeze(2), 2, feature_map.shape[2])
        z = self.tile(z.unsqueeze(3), 3, feature_map.shape[3])
        return self.last_layer(self.layers(torch.cat((feature_map, z), dim=1)))


class PortModel(nn.Module):
    """`forward(patch, None, training=False)`, then `sample(testing=True)` for one more hypothesis a call."""

    def __init__(
        self,
        input_channels: int = 1,
        num_classes: int = 1,
        num_filters: Sequence[int] = (32, 64, 128, 192),
        latent_dim: int = 6,
        no_convs_fcomb: int = 4,
    ) -> None:
        super().__init__()
        self.unet = _Unet(input_channels, num_filters)
        self.prior = _AxisAlignedConvGaussian(input_channels, num_filters, latent_dim)
        self.posterior = _AxisAlignedConvGaussian(input_channels + 1, num_filters, latent_dim)
        self.fcomb = _Fcomb(num_filters[0], latent_dim, num_classes, no_convs_fcomb)

    def forward(self, patch: Tensor, segm: Tensor | None, training: bool = True) -> None:
        if training:
            self.posterior_latent_space = self.posterior(patch, segm)
        self.prior_latent_space = self.prior(patch)
        self.unet_features = self.unet(patch, False)

    def sample(self, testing: bool = False) -> Tensor:
        prior = self.prior_latent_space
        self.z_prior_sample = prior.sample() if testing else prior.rsample()
        return self.fcomb(self.unet_features, self.z_prior_sample)
