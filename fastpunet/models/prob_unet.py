"""The Probabilistic U-Net (Kohl et al., NeurIPS 2018, arXiv 1806.05034)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from fastpunet.models.fcomb import FComb
from fastpunet.models.gaussian import AxisAlignedGaussian
from fastpunet.models.unet import UNet

POSTERIOR_INPUTS = ("one-hot", "mask")


class Elbo(NamedTuple):
    """Both terms of the evidence lower bound, of each segmentation: -ELBO = reconstruction + kl.sum(-1), in nats."""

    reconstruction: Tensor  # (B, G), cross-entropy summed over the pixels of an image
    kl: Tensor  # (B, G, latent_dim), KL(posterior || prior), which is a sum over the latent's dimensions


class ProbabilisticUNet(nn.Module):
    """U-Net, prior net, posterior net and f_comb. Stateless: nothing is kept between calls.

    Args:
        in_channels: image channels.
        num_classes: 1 for a binary mask (one logit, threshold at 0), otherwise the number of classes (2 .. 256).
        channels: width of each scale; their number is the number of scales. f_comb is channels[0] wide.
        latent_dim: size of z.
        convs_per_block: 3x3 convolutions a scale (3 as published).
        fcomb_layers: 1x1 convolutions in f_comb (4 as published).
        posterior_input: "one-hot" concatenates the one-hot segmentation minus 0.5 to the image (authors' release;
            one channel if binary); "mask" the raw label map as one channel (PyTorch port).
        log_sigma_bound: smooth bound on |log sigma|; None is the published, unbounded form.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        channels: Sequence[int] = (32, 64, 128, 192),
        latent_dim: int = 6,
        *,
        convs_per_block: int = 3,
        fcomb_layers: int = 4,
        posterior_input: str = "one-hot",
        log_sigma_bound: float | None = 5.0,
    ) -> None:
        super().__init__()
        sizes = dict(
            in_channels=in_channels, num_classes=num_classes, latent_dim=latent_dim, convs_per_block=convs_per_block
        )
        for name, value in sizes.items():
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")
        if num_classes > 256:
            raise ValueError(f"num_classes: got {num_classes}, expected at most 256 (labels are uint8)")
        if not isinstance(channels, Sequence) or not channels or any(type(c) is not int or c < 1 for c in channels):
            raise ValueError(f"channels: got {channels!r}, expected one positive width a scale, such as (32, 64, 128)")
        if fcomb_layers < 2:
            raise ValueError(f"fcomb_layers: got {fcomb_layers}, expected at least 2 (with 1, f_comb is affine in z)")
        if posterior_input not in POSTERIOR_INPUTS:
            raise ValueError(f"posterior_input: got {posterior_input!r}, expected one of {', '.join(POSTERIOR_INPUTS)}")
        if log_sigma_bound is not None and log_sigma_bound <= 0:
            raise ValueError(f"log_sigma_bound: got {log_sigma_bound}, expected a positive number or None")
        self.config: dict[str, Any] = dict(
            **sizes,
            channels=list(channels),
            fcomb_layers=fcomb_layers,
            posterior_input=posterior_input,
            log_sigma_bound=log_sigma_bound,
        )
        self.in_channels, self.num_classes, self.latent_dim = in_channels, num_classes, latent_dim
        self.posterior_input = posterior_input
        mask_channels = num_classes if posterior_input == "one-hot" else 1
        gaussian = (channels, latent_dim, convs_per_block, log_sigma_bound)
        self.unet = UNet(in_channels, channels, convs_per_block)
        self.prior = AxisAlignedGaussian(in_channels, *gaussian)
        self.posterior = AxisAlignedGaussian(in_channels + mask_channels, *gaussian)
        self.fcomb = FComb(channels[0], latent_dim, num_classes, fcomb_layers)

    def encode(self, images: Tensor) -> tuple[Tensor, Independent]:
        """images float (B, in_channels, H, W) to features (B, channels[0], H, W) and the prior over (B, latent_dim)."""
        return self.unet(images), self.prior(images)

    def decode(self, features: Tensor, z: Tensor) -> Tensor:
        """features (B, C, H, W) and z (B, n, latent_dim) to logits (B, n, K, H, W); differentiable, one f_comb a z."""
        return torch.stack([self.fcomb(features, z[:, k]) for k in range(z.shape[1])], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, H, W) of one hypothesis per image, drawn from the prior with the global generator."""
        features, prior = self.encode(images)
        return self.fcomb(features, prior.rsample())

    def posterior_of(self, images: Tensor, labels: Tensor, ignore_index: int | None = None) -> Independent:
        """The posterior q(z | image, segmentation) for labels int (B, H, W); ignored pixels belong to no class."""
        self._check_labels(labels, ignore_index)
        labels = labels.long()
        ignored = torch.zeros_like(labels, dtype=torch.bool) if ignore_index is None else labels == ignore_index
        known = labels.masked_fill(ignored, 0)
        if self.posterior_input == "mask" or self.num_classes == 1:
            planes = known[:, None].to(images.dtype)
        else:
            planes = F.one_hot(known, self.num_classes).movedim(-1, 1).to(images.dtype)
            planes = planes.masked_fill(ignored[:, None], 0)
        shift = 0.5 if self.posterior_input == "one-hot" else 0.0
        return self.posterior(torch.cat((images, planes - shift), dim=1))

    def _check_labels(self, labels: Tensor, ignore_index: int | None) -> None:
        counted = labels if ignore_index is None else labels[labels != ignore_index]
        classes = max(2, self.num_classes)
        if counted.numel() and not (counted.min() >= 0 and counted.max() < classes):
            raise ValueError(
                f"labels: got {int(counted.min())} .. {int(counted.max())}, expected 0 .. {classes - 1} for "
                f"num_classes = {self.num_classes}; name a label to leave out as ignore_index"
            )

    def elbo(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        noise: Tensor | None = None,
        ignore_index: int | None = None,
        class_weights: Tensor | None = None,
    ) -> Elbo:
        """Evidence lower bound of segmentations given their image (Kohl et al. 2018, equation 4).

        labels int (B, H, W), one grader an image, or (B, G, H, W): the U-Net and the prior, which see the image alone,
        then run once for G graders. noise: standard normals (B, G, latent_dim) for the posterior's samples, (B,
        latent_dim) for one grader; drawn from the global generator if None. class_weights float (K,), of the classes'
        cross-entropies. Cross-entropy is summed over pixels: a mean would let the KL win.
        """
        labels = labels[:, None] if labels.dim() == 3 else labels
        graders = labels.shape[1]
        features, prior = self.encode(images)
        posterior = self.posterior_of(images.repeat_interleave(graders, 0), labels.flatten(0, 1), ignore_index)
        q, p = posterior.base_dist, prior.base_dist
        noise = torch.randn_like(q.loc) if noise is None else noise.reshape(q.loc.shape)
        logits = self.fcomb(features.repeat_interleave(graders, 0), q.loc + q.scale * noise).float()
        reconstruction = _cross_entropy(logits, labels.flatten(0, 1).long(), ignore_index, class_weights)
        loc, scale = (values.repeat_interleave(graders, 0) for values in (_in_units(p.loc, p.scale), p.scale))
        kl = kl_divergence(q, Normal(loc, scale, validate_args=False))
        return Elbo(reconstruction.unflatten(0, labels.shape[:2]), kl.unflatten(0, labels.shape[:2]))


def _in_units(mean: Tensor, scale: Tensor) -> Tensor:
    """The mean as it is, its gradient times the standard deviation, as if the mean were counted in such units.

    The KL's gradient with respect to the prior's mean goes with 1 / scale. A dimension in which segmentations lie far
    apart, such as "a lesion or none", has a wide prior, and its gradient drowns in those of narrow dimensions, with
    which it shares an encoder: the prior then hardly follows the image. The loss and where it is least stay the same.
    """
    unmoved = mean.detach()
    return unmoved + (mean - unmoved) * scale.detach()


def _cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int | None, weights: Tensor | None) -> Tensor:
    """Cross-entropy (B,) in nats of each image, summed over pixels, ignored pixels left out."""
    if logits.shape[1] > 1:
        ignored = -100 if ignore_index is None else ignore_index
        return F.cross_entropy(logits, labels, weights, ignore_index=ignored, reduction="none").sum((1, 2))
    counted = torch.ones_like(logits[:, 0]) if ignore_index is None else (labels != ignore_index).float()
    targets = labels * counted
    if weights is not None:
        counted = counted * weights[targets.long()]
    return F.binary_cross_entropy_with_logits(logits[:, 0], targets, counted, reduction="none").sum((1, 2))
