"""The prior and posterior nets, which map an image (and a segmentation) to a Gaussian over the latent space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from fastpunet.arguments import check_labels
from fastpunet.models.scales import Scales
from fastpunet.models.unet import CONV, Conv, Encoder, init_conv


class AxisAlignedGaussian(nn.Module):
    """An encoder, a mean over space and a 1x1 convolution to [mu, log sigma] (Kohl et al. 2018, section 2).

    With `maps`, there are that many latents in each cell of the encoder's coarsest scale besides (see `latent_maps`). A
    second 1x1 convolution gives their [mu, log sigma] without the mean over space.

    With log_sigma_bound b, log sigma = raw / (1 + |raw| / b), which lies in (-b, b), so that neither sigma nor the KL
    can overflow. Its gradient vanishes slowly, so that training can return from either end, unlike with a clamp or a
    tanh. With None, log sigma = raw, as published.
    scale: what sigma is multiplied by, for a prior that was calibrated after training.
    scales: of the encoder; None stands for those as published.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        latent_dim: int,
        convs_per_block: int,
        log_sigma_bound: float | None,
        dims: int = 2,
        maps: int = 0,
        scale: float = 1.0,
        scales: Scales | None = None,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, channels, convs_per_block, dims, scales)
        self.conv_layer = CONV[dims](channels[-1], 2 * latent_dim, 1)
        self.log_sigma_bound, self.scale = log_sigma_bound, scale
        init_conv(self.conv_layer)
        self.map_layer = CONV[dims](channels[-1], 2 * maps, 1) if maps else None
        if self.map_layer is not None:
            init_conv(self.map_layer)

    def forward(self, x: Tensor) -> Independent:
        """The distribution over (B, latent_dim) for x (B, in_channels, *size), in float32 also under autocast.

        With maps it is over (B, latent_dim + maps * cells): the maps' cells are flattened behind the other latents.
        """
        encoding = self.encoder(x)
        with torch.autocast(x.device.type, enabled=False):
            encoding = encoding.float()
            moments = [_moments(self.conv_layer, encoding.mean(dim=tuple(range(2, x.ndim)), keepdim=True))]
            if self.map_layer is not None:
                moments.append(_moments(self.map_layer, encoding))
            mu, log_sigma = (torch.cat(parts, dim=1) for parts in zip(*moments, strict=True))
            sigma = bounded(log_sigma, self.log_sigma_bound).exp() * self.scale
            return Independent(Normal(mu, sigma, validate_args=False), 1, validate_args=False)


def _moments(head: Conv, encoding: Tensor) -> tuple[Tensor, Tensor]:
    """Means and raw log standard deviations, each (B, number), from a head's channels in every cell."""
    mu, log_sigma = convolved(head, encoding).chunk(2, dim=1)
    return mu.flatten(1), log_sigma.flatten(1)


def convolved(head: Conv, encoding: Tensor) -> Tensor:
    """What a 1x1 convolution makes of an encoding (B, C, *cells), with its weights in float32."""
    assert head.bias is not None
    convolve = F.conv2d if encoding.ndim == 4 else F.conv3d
    return convolve(encoding, head.weight.float(), head.bias.float())


def bounded(log_sigma: Tensor, bound: float | None) -> Tensor:
    """Log standard deviations within (-bound, bound), as `AxisAlignedGaussian` says."""
    return log_sigma if bound is None else log_sigma / (1 + log_sigma.abs() / bound)


def segmentation_planes(labels: Tensor, num_classes: int, form: str, ignore_index: int | None) -> Tensor:
    """The form in which a posterior net sees labels int (B, *size), as float32; ignored pixels belong to no class.

    "one-hot": the classes' planes (B, K, *size) minus 0.5, one plane if binary (authors' release). "plain-one-hot": the
    same without subtracting 0.5. "mask": the label map as one channel (PyTorch port). ValueError for labels out of
    range.
    """
    check_labels(labels, num_classes, ignore_index)
    ignored = torch.zeros_like(labels, dtype=torch.bool) if ignore_index is None else labels == ignore_index
    known = labels.long().masked_fill(ignored, 0)
    if form == "mask" or num_classes == 1:
        planes = known[:, None].float()
    else:
        planes = F.one_hot(known, num_classes).movedim(-1, 1).float().masked_fill(ignored[:, None], 0)
    return planes - 0.5 if form == "one-hot" else planes
