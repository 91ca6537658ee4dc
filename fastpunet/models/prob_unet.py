"""The Probabilistic U-Net (Kohl et al., NeurIPS 2018, arXiv 1806.05034)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from fastpunet.arguments import (
    check_channels,
    check_count,
    check_counts,
    check_dims,
    check_log_sigma_bound,
    check_num_classes,
    check_positive,
)
from fastpunet.branches import both
from fastpunet.latents import Noise
from fastpunet.models.cross_entropy import cross_entropy
from fastpunet.models.fcomb import FComb, SplitFComb
from fastpunet.models.gaussian import AxisAlignedGaussian, segmentation_planes
from fastpunet.models.header_entries import UNTOLD, UNTOLD_KEY
from fastpunet.models.latent_method import LatentEncoding, LatentMethod
from fastpunet.models.map_encoding import MapEncoding
from fastpunet.models.method import LossTerms
from fastpunet.models.own_features import OwnFeatures, feature_channels
from fastpunet.models.posterior_terms import compared
from fastpunet.models.prior_heads import make_head
from fastpunet.models.prior_names import DIAGONAL, read_prior
from fastpunet.models.prior_net import PriorNet
from fastpunet.models.priors import AxisAligned, OfNormals, Prior
from fastpunet.models.scales import Scales
from fastpunet.models.unet import Conv, UNet

POSTERIOR_INPUTS = ("one-hot", "plain-one-hot", "mask")
_FIRST_OF_PRIOR = 2**31  # in training: the noise of earlier hypotheses is the posterior's


class ProbabilisticUNet(LatentMethod):
    """U-Net, prior net, posterior net and f_comb. Stateless: nothing is kept between calls.

    Args:
        in_channels: image channels.
        num_classes: 1 for a binary mask (one logit, threshold at 0), otherwise the number of classes (2 .. 256).
        channels: width of each scale; there are as many scales as widths.
        latent_dim: number of dimensions of z.
        convs_per_block: number of 3x3 convolutions in each scale (3 as published).
        fcomb_layers: number of 1x1 convolutions in f_comb (4 as published).
        fcomb_channels: width of f_comb; None is channels[0], as published.
        latent_maps: number of further latents for each cell of the U-Net's coarsest scale, so that hypotheses can
            differ in one place and not in another (see `latent_maps`); 0 as published. z then has latent_dim +
            latent_maps * cells dimensions, as many as the image's size gives cells.
        prior: the distribution of z given the image, whose source is in `prior_heads`. All but "diagonal" exclude
            latent_maps, and the posterior stays a diagonal Gaussian.
            "diagonal": a Gaussian with independent dimensions, as published.
            "full": a Gaussian with any covariance. "low-rank:RANK": one whose covariance is a diagonal plus a matrix of
            that rank.
            "mixture:COMPONENTS": a mixture of diagonal Gaussians, whose weights depend on the image too.
            "flow:COUPLINGS": a normalizing flow: a diagonal Gaussian transformed by this number of affine couplings.
            "raters:NAME,NAME,...": a diagonal Gaussian for each rater. Hypotheses are drawn from their mixture, in
            which all are equally probable; `raters.of_rater` gives the model of one of them.
        posterior_input: the form in which the posterior net sees a segmentation beside the image. "one-hot" is one-hot
            minus 0.5 (authors' release; one channel if binary); "plain-one-hot" subtracts nothing; "mask" is the
            label map as one channel (PyTorch port).
        log_sigma_bound: a smooth bound on |log sigma|; None is the published, unbounded form.
        prior_scale: what the prior's sigma is multiplied by. `fastpunet calibrate` sets it; in training it is 1.
        dims: 2 for images (B, C, H, W), 3 for volumes (B, C, D, H, W).
        kernel_sizes: odd sides of the kernels in each scale, such as [[1, 3, 3], [3, 3, 3]] for voxels that are longer
            along the first axis; None is 3 everywhere, as published. The prior and posterior nets have them too.
        pool_sizes: by how much the axes are pooled on the way to each scale but the first, such as [[1, 2, 2]]; None is
            2 everywhere, as published.
        unet: a module of your own in place of the U-Net, which maps images (B, in_channels, *size) to any number of
            features (B, F, *size). Images whose size it does not take are padded by repeating the edge. `channels` and
            `convs_per_block` are then those of the prior and posterior nets alone. `save` cannot store such a model.
    """

    loss_options = ("hypotheses", "bound_samples")

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        channels: Sequence[int] = (32, 64, 128, 192),
        latent_dim: int = 6,
        *,
        convs_per_block: int = 3,
        fcomb_layers: int = 4,
        fcomb_channels: int | None = None,
        latent_maps: int = 0,
        prior: str = DIAGONAL,
        posterior_input: str = "one-hot",
        log_sigma_bound: float | None = 5.0,
        prior_scale: float = 1.0,
        dims: int = 2,
        kernel_sizes: Sequence[Sequence[int]] | None = None,
        pool_sizes: Sequence[Sequence[int]] | None = None,
        unet: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(unet, nn.Module | None):
            raise TypeError(
                f"unet: got {type(unet).__name__}, expected a torch.nn.Module, or None for the published U-Net"
            )
        sizes = dict(
            in_channels=in_channels, num_classes=num_classes, latent_dim=latent_dim, convs_per_block=convs_per_block
        )
        check_counts(**sizes)
        check_num_classes(num_classes)
        check_dims(dims)
        check_channels(channels)
        scales = Scales.of(len(channels), dims, kernel_sizes, pool_sizes)
        if fcomb_layers < 2:
            raise ValueError(f"fcomb_layers: got {fcomb_layers}, expected at least 2 (with 1, f_comb is affine in z)")
        if fcomb_channels is not None:
            check_count("fcomb_channels", fcomb_channels)
        check_count("latent_maps", latent_maps, least=0)
        name = read_prior(prior)
        name.check_dimensions(latent_dim)
        if latent_maps and prior != DIAGONAL:
            raise ValueError(
                f"latent_maps: got {latent_maps} with prior {prior!r}, expected 0, or prior {DIAGONAL!r}, because the "
                "values of a map are independent of each other"
            )
        if posterior_input not in POSTERIOR_INPUTS:
            raise ValueError(f"posterior_input: got {posterior_input!r}, expected one of {', '.join(POSTERIOR_INPUTS)}")
        check_log_sigma_bound(log_sigma_bound)
        check_positive("prior_scale", prior_scale)
        self.config = dict[str, Any](
            **sizes,
            channels=list(channels),
            fcomb_layers=fcomb_layers,
            fcomb_channels=fcomb_channels,
            latent_maps=latent_maps,
            posterior_input=posterior_input,
            log_sigma_bound=log_sigma_bound,
            prior_scale=prior_scale,
            dims=dims,
            kernel_sizes=None if kernel_sizes is None else list(map(list, kernel_sizes)),
            pool_sizes=None if pool_sizes is None else list(map(list, pool_sizes)),
        )
        if unet is not None:
            self.config["unet"] = unet
        if prior != DIAGONAL:  # so that files of the published prior stay as they were
            self.config["prior"] = prior
        self.in_channels, self.num_classes, self.dims = in_channels, num_classes, dims
        self.latent_dim, self.latent_maps, self.scales = latent_dim, latent_maps, scales
        self.posterior_input = posterior_input
        mask_channels = 1 if posterior_input == "mask" else num_classes
        self.raters, self._extra_normals = name.raters, name.extra_normals
        gaussian = (channels, latent_dim, convs_per_block, log_sigma_bound, dims, latent_maps)
        self.unet = UNet(in_channels, channels, convs_per_block, dims, scales) if unet is None else unet
        self._own_features = None if unet is None else OwnFeatures()
        self.prior: nn.Module
        if prior == DIAGONAL:
            self.prior = AxisAlignedGaussian(in_channels, *gaussian, scale=prior_scale, scales=scales)
        else:
            net = (in_channels, channels, convs_per_block, log_sigma_bound, dims, prior_scale, scales)
            self.prior = PriorNet(make_head(name, latent_dim), *net)
        self.posterior = AxisAlignedGaussian(in_channels + mask_channels, *gaussian, scales=scales)
        self.fcomb = FComb(
            channels[0] if unet is None else feature_channels(unet, in_channels, dims),
            latent_dim,
            num_classes,
            fcomb_layers,
            dims,
            width=fcomb_channels,
            maps=latent_maps,
            scales=scales,
        )

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Adds to the state dict's metadata, which torch.save keeps, what the weights' shapes do not tell."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]][UNTOLD_KEY] = {
                name: self.config[name] for name in UNTOLD if name in self.config
            }

    @property
    def combiner(self) -> FComb:
        return self.fcomb

    def features(self, images: Tensor) -> Tensor:
        """The U-Net's features (B, F, *size) of images (B, in_channels, *size)."""
        return self.unet(images) if self._own_features is None else self._own_features(self.unet, images)

    def features_and_prior(self, images: Tensor) -> tuple[Tensor, Prior]:
        return both(lambda: self.features(images), lambda: self.prior_for(images), images.device)

    def prior_for(self, images: Tensor) -> OfNormals:
        """The prior p(z | image) of images (B, in_channels, *size)."""
        found: Independent | OfNormals = self.prior(images)
        return AxisAligned(found.mean, found.stddev) if isinstance(found, Independent) else found

    def grid_of(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return self.scales.grid_of(size)

    def latent_inputs(self, prior: Prior) -> int:
        return self.latent_dim + self.latent_maps

    def encoded(self, split: SplitFComb, features: Tensor, prior: Prior) -> LatentEncoding:
        if not self.latent_maps:
            return super().encoded(split, features, prior)
        size = tuple(features.shape[2:])
        of_image, of_maps = split.decoder.z_weight.tensor_split([self.latent_dim], dim=1)
        decoder = split.decoder._replace(z_weight=of_image.contiguous())
        grid = self.grid_of(size)
        return MapEncoding(len(features), size, features, prior, split.base(features), decoder, grid, of_maps)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K, *size) of one hypothesis per image, drawn from the prior with the global generator.

        Differentiable, unlike `fastpunet.sample`.
        """
        prior = self.prior_for(images)
        normals = torch.randn(len(images), 1, prior.normals, device=images.device)
        return self.fcomb(self.features(images), prior.of_normals(normals)[:, 0])

    def posterior_of(self, images: Tensor, labels: Tensor, ignore_index: int | None = None) -> Independent:
        """The posterior q(z | image, segmentation) for labels int (B, *size); ignored pixels belong to no class."""
        planes = segmentation_planes(labels, self.num_classes, self.posterior_input, ignore_index)
        return self.posterior(torch.cat((images, planes.to(images.dtype)), dim=1))

    def output_layers(self) -> Sequence[Conv]:
        return [self.fcomb.last_layer]

    def loss_terms(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        ids: Tensor,
        ignore_index: int | None = None,
        class_weights: Tensor | None = None,
        hypotheses: int = 0,
        bound_samples: int = 1,
        raters: Tensor | None = None,
    ) -> LossTerms:
        dim = self.latent_dim + self.latent_maps * math.prod(self.grid_of(tuple(images.shape[2:])))
        posterior_noise = Noise(seed, ids, 0, labels.shape[1] * bound_samples).normals(dim)
        prior_noise = Noise(seed, ids, _FIRST_OF_PRIOR, hypotheses).normals(dim + self._extra_normals)
        return self.elbo(
            images,
            labels,
            noise=posterior_noise.unflatten(1, (-1, bound_samples)),
            prior_noise=prior_noise if hypotheses else None,
            ignore_index=ignore_index,
            class_weights=class_weights,
            raters=raters,
        )

    def elbo(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        noise: Tensor | None = None,
        prior_noise: Tensor | None = None,
        ignore_index: int | None = None,
        class_weights: Tensor | None = None,
        raters: Tensor | None = None,
    ) -> LossTerms:
        """Evidence lower bound of segmentations given their image (Kohl et al. 2018, equation 4).

        labels: int (B, *size) for one grader per image, or (B, G, *size) for G graders, who share one pass of the U-Net
        and of the prior net. noise: standard normals (B, G, k, latent_dim) for k samples of each posterior, or
        (B, G, latent_dim), or (B, latent_dim) for one grader; None draws one sample from the global generator. With
        k > 1 the result has the importance-weighted bound. prior_noise: standard normals (B, n, latent_dim) for n
        hypotheses from the prior, which the result then has; a prior of low rank, a mixture and one of raters take more
        normals for each. class_weights: float (K,), the weights of the classes' cross-entropies. raters: int64 (B, G),
        who made each segmentation, as an index into the raters of the prior.

        The KL has a closed form for Gaussian priors, and is estimated from the samples for others (`posterior_terms`).
        """
        labels = labels[:, None] if labels.ndim == self.dims + 1 else labels
        graders = labels.shape[1]
        features, prior = self.features(images), self.prior_for(images)
        posterior = self.posterior_of(images.repeat_interleave(graders, 0), labels.flatten(0, 1), ignore_index)
        q = _each(posterior.base_dist, labels.shape[:2])  # of (B, G, 1, latent_dim)
        noise = torch.randn_like(q.loc) if noise is None else noise.reshape(*q.loc.shape[:2], -1, q.loc.shape[-1])
        z = q.loc + q.scale * noise
        samples = z.shape[2]
        latents = [z.flatten(1, 2), *([] if prior_noise is None else [prior.of_normals(prior_noise)])]
        logits = self._decode(features, prior, torch.cat(latents, dim=1))
        decoded, hypotheses = logits.tensor_split([graders * samples], dim=1)
        repeated = labels.repeat_interleave(samples, 1).flatten(0, 1)
        entropies = cross_entropy(decoded.flatten(0, 1), repeated, ignore_index, class_weights).view(z.shape[:3])
        kl, bound = compared(q, prior.in_units(), z, entropies, raters)
        return LossTerms(entropies.mean(2), kl, bound, None if prior_noise is None else hypotheses)

    def _decode(self, features: Tensor, prior: Prior, z: Tensor) -> Tensor:
        """Logits float32 (B, n, K, *size) of latents z (B, n, ...), with gradients also of the weights."""
        with torch.autocast(features.device.type, enabled=False):
            split = self.fcomb.split()
            encoding = self.encoded(split, features.to(split.feature_weight.dtype), prior)
            return self.differentiable_logits(encoding, z.to(encoding.base.dtype))


def _each(flat: Normal, shape: torch.Size) -> Normal:
    """Normals of (B * G, latent_dim) as those of (B, G, 1, latent_dim)."""
    loc, scale = (values.unflatten(0, shape)[:, :, None] for values in (flat.loc, flat.scale))
    return Normal(loc, scale, validate_args=False)
