"""The Image2Image VAE: a latent with a fixed prior enters the U-Net with the image (Zhu et al., arXiv 1711.11586)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from fastpunet.arguments import check_channels, check_counts, check_dims, check_log_sigma_bound, check_num_classes
from fastpunet.latents import Noise
from fastpunet.models.cross_entropy import cross_entropy
from fastpunet.models.exportable import Exportable, NamedTensors, TiledDecode, prior_tensors
from fastpunet.models.fcomb import broadcast_latents
from fastpunet.models.gaussian import AxisAlignedGaussian, segmentation_planes
from fastpunet.models.method import ImageEncoding, LossTerms, Method, arithmetic, to_output
from fastpunet.models.priors import AxisAligned, Prior
from fastpunet.models.unet import CONV, Conv, UNet, init_conv


class Image2ImageVAE(Method):
    """The latent z ~ N(0, I) does not depend on the image. It is broadcast over all pixels and concatenated to the
    image, and the U-Net maps both to one hypothesis. The posterior net sees image and segmentation (Kohl et al. 2018,
    section 4).

    Every hypothesis takes a pass of the whole U-Net. Its latent is a function of (seed, id, hypothesis) alone.

    Args: those of `ProbabilisticUNet`.
    """

    gaussian_latent = True

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        channels: Sequence[int] = (32, 64, 128, 192),
        latent_dim: int = 6,
        *,
        convs_per_block: int = 3,
        dims: int = 2,
        log_sigma_bound: float | None = 5.0,
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, latent_dim=latent_dim, convs_per_block=convs_per_block)
        check_num_classes(num_classes)
        check_dims(dims)
        check_channels(channels)
        check_log_sigma_bound(log_sigma_bound)
        self.config = dict[str, Any](
            in_channels=in_channels,
            num_classes=num_classes,
            channels=list(channels),
            latent_dim=latent_dim,
            convs_per_block=convs_per_block,
            log_sigma_bound=log_sigma_bound,
            dims=dims,
        )
        self.in_channels, self.num_classes, self.dims, self.latent_dim = in_channels, num_classes, dims, latent_dim
        self.unet = UNet(in_channels + latent_dim, channels, convs_per_block, dims)
        self.last_layer = CONV[dims](channels[0], num_classes, 1)
        init_conv(self.last_layer)
        self.posterior = AxisAlignedGaussian(
            in_channels + num_classes, channels, latent_dim, convs_per_block, log_sigma_bound, dims
        )

    def prior(self, images: Tensor) -> Independent:
        """N(0, I) over (B, latent_dim)."""
        standard = self.prior_for(images)
        return Independent(Normal(standard.mu, standard.sigma, validate_args=False), 1, validate_args=False)

    def prior_for(self, images: Tensor) -> AxisAligned:
        """The same distribution, as hypotheses are drawn from it."""
        zeros = torch.zeros(images.shape[0], self.latent_dim, device=images.device)
        return AxisAligned(zeros, zeros + 1)

    def posterior_of(self, images: Tensor, labels: Tensor, ignore_index: int | None = None) -> Independent:
        """The posterior q(z | image, segmentation) for labels int (B, *size); ignored pixels belong to no class."""
        planes = segmentation_planes(labels, self.num_classes, "one-hot", ignore_index)
        return self.posterior(torch.cat((images, planes.to(images.dtype)), dim=1))

    def output_layers(self) -> Sequence[Conv]:
        return [self.last_layer]

    def loss_terms(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        ids: Tensor,
        ignore_index: int | None = None,
        class_weights: Tensor | None = None,
    ) -> LossTerms:
        """The terms of the evidence lower bound under the fixed prior, with one pass of the U-Net for each grader."""
        graders = labels.shape[1]
        images, flat = images.repeat_interleave(graders, 0), labels.flatten(0, 1)
        q, p = self.posterior_of(images, flat, ignore_index).base_dist, self.prior(images).base_dist
        noise = Noise(seed, ids, 0, graders).normals(self.latent_dim).flatten(0, 1)
        reconstruction = cross_entropy(self._decode(images, q.loc + q.scale * noise), flat, ignore_index, class_weights)
        kl = kl_divergence(q, p)
        return LossTerms(reconstruction.unflatten(0, labels.shape[:2]), kl.unflatten(0, labels.shape[:2]))

    def _decode(self, images: Tensor, z: Tensor) -> Tensor:
        """Logits (N, K, *size) of one hypothesis for each of images (N, C, *size) and latents z (N, latent_dim)."""
        tiled = broadcast_latents(z, images).to(images.dtype)
        return self.last_layer(self.unet(torch.cat((images, tiled), dim=1)))

    def encode(self, images: Tensor) -> ImageEncoding:
        """Return the images as they are, because the latent enters the U-Net's first layer."""
        return ImageEncoding.of(images)

    def prior_of(self, encoding: ImageEncoding) -> Prior:
        return self.prior_for(encoding.values)

    def exportable(self, images: Tensor) -> Exportable:
        """The images are their own features, because the latent enters the U-Net's first layer."""
        encode = NamedTensors(self, lambda images: {"features": images, **prior_tensors(self.prior_for(images))})
        return Exportable(encode, TiledDecode(self, self._decode), self.prior_for(images))

    def logits(self, encoding: ImageEncoding, noise: Noise) -> Tensor:
        z = noise.normals(self.latent_dim).flatten(0, 1)
        return self._decode(encoding.values.repeat_interleave(noise.n, 0), z).unflatten(0, (-1, noise.n))

    def decode(self, encoding: ImageEncoding, z: Tensor, *, output: str, precision: str, backend: str) -> Tensor:
        with arithmetic(precision, z.device):
            images = encoding.values.repeat_interleave(z.shape[1], 0)
            logits = self._decode(images, z.flatten(0, 1)).unflatten(0, z.shape[:2])
        return to_output(logits, output)
