"""The prior net of priors other than a diagonal Gaussian."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fastpunet.models.gaussian import bounded, convolved
from fastpunet.models.prior_heads import PriorHead
from fastpunet.models.priors import AxisAligned, OfNormals
from fastpunet.models.scales import Scales
from fastpunet.models.unet import CONV, Encoder, init_conv

_SMALL = 0.1  # the initial weights of parameters that bend a prior, relative to the others


class PriorNet(nn.Module):
    """The net of `gaussian.AxisAlignedGaussian`, whose last layer has the parameters of the head's distribution.

    log_sigma_bound, scale, scales: as there, for every Gaussian of which the prior is made.
    """

    def __init__(
        self,
        head: PriorHead,
        in_channels: int,
        channels: Sequence[int],
        convs_per_block: int,
        log_sigma_bound: float | None,
        dims: int = 2,
        scale: float = 1.0,
        scales: Scales | None = None,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, channels, convs_per_block, dims, scales)
        self.conv_layer = CONV[dims](channels[-1], head.numbers, 1)
        self.head, self.log_sigma_bound, self.scale = head, log_sigma_bound, scale
        init_conv(self.conv_layer)
        with torch.no_grad():
            self.conv_layer.weight[head.bending :] *= _SMALL

    def forward(self, x: Tensor) -> OfNormals:
        """The prior of images x (B, in_channels, *size), in float32 also under autocast."""
        encoding = self.encoder(x)
        with torch.autocast(x.device.type, enabled=False):
            encoding = encoding.float().mean(dim=tuple(range(2, x.ndim)), keepdim=True)
            prior: OfNormals = self.head(convolved(self.conv_layer, encoding).flatten(1), self._gaussian_of)
            return prior if self.scale == 1 else prior.widened(self.scale)

    def _gaussian_of(self, moments: Tensor) -> AxisAligned:
        mu, log_sigma = moments.chunk(2, dim=1)
        return AxisAligned(mu, bounded(log_sigma, self.log_sigma_bound).exp())
