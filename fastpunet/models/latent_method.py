"""Methods in which a combiner makes hypotheses of features and latents: Probabilistic U-Nets of all makes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastpunet.latents import Noise
from fastpunet.models.exportable import Exportable, NamedTensors, SplitDecode, prior_tensors
from fastpunet.models.fcomb import FComb, SplitFComb, flatten_combiner
from fastpunet.models.method import Encoding, Method
from fastpunet.models.priors import Prior
from fastpunet.models.verification import verify
from fastpunet_kernels import (
    BACKENDS,
    Decoder,
    Gaussian,
    Maps,
    Sums,
    decode_logits,
    decode_samples,
    decode_sums,
    tune_decode,
    with_own_bases,
)


class LatentProblem(NamedTuple):
    """The arguments of the kernels' `decode_samples`."""

    base: Tensor
    decoder: Decoder
    latents: Tensor | Gaussian
    maps: Maps | None

    def without_maps(self) -> tuple[Tensor, Decoder, Tensor | Gaussian]:
        """base, decoder and latents of the same logits; with maps, of B n "images" in order, of one hypothesis each."""
        base, decoder, latents, maps = self
        if maps is None:
            return base, decoder, latents
        assert isinstance(latents, Tensor)
        own, alone = with_own_bases(base, latents, *maps)
        return own, decoder, alone


@dataclass(frozen=True, eq=False)
class LatentEncoding(Encoding):
    """The result of one pass of U-Net and prior net: all that hypotheses depend on, besides their noise.

    features  float32 (B, C, *size), the U-Net's last activations
    prior     the distribution of z for each image
    base      float32 (B, P, h), the first layer of the combiner applied to the features alone
    decoder   the rest of the combiner, with the weights that it had when the images were encoded
    """

    features: Tensor
    prior: Prior
    base: Tensor
    decoder: Decoder

    def parts(self) -> dict[str, Tensor]:
        return {
            "the U-Net's features": self.features,
            **self.prior.parts(),
            "the combiner's first layer": self.base,
        }

    def problem(self, z: Tensor | Gaussian) -> LatentProblem:
        """What the kernels decode latents z (B, n, latent_dim) from."""
        return LatentProblem(self.base, self.decoder, z, None)


class LatentMethod(Method):
    """Encodes an image once, and decodes any number of latents with the kernels (Kohl et al. 2018, section 2)."""

    backends = BACKENDS
    has_gradients = True
    encoding_kind = LatentEncoding
    gaussian_latent = True
    latent_maps: int = 0  # latents in each cell of a grid, besides those of the whole image (see `latent_maps`)

    @property
    @abstractmethod
    def combiner(self) -> nn.Module:
        """The 1x1 convolutions over [features; z], f_comb in the paper."""

    @abstractmethod
    def features_and_prior(self, images: Tensor) -> tuple[Tensor, Prior]:
        """Features (B, C, *size) and the prior over (B, latent_dim) of images (B, in_channels, *size)."""

    def prior_for(self, images: Tensor) -> Prior:
        """The prior of `features_and_prior`, if possible without a pass of the U-Net."""
        return self.features_and_prior(images)[1]

    def encode(self, images: Tensor) -> Encoding:
        return self.encoding_of(*self.features_and_prior(images))

    def encoding_of(self, features: Tensor, prior: Prior) -> Encoding:
        """The encoding of images with these features (B, C, *size) and this prior."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            return self.encoded(self.split_for(features, prior), features, prior)

    def split_for(self, features: Tensor, prior: Prior) -> SplitFComb:
        """The combiner in the kernels' form, for these features (B, C, *size); ValueError if it does more than that."""
        split = flatten_combiner(self.combiner, self.latent_inputs(prior))
        if not _is_as_published(self.combiner) and not _verified(self.combiner, features, prior.latent_dim):
            raise ValueError(
                f"model: the forward pass of its combiner, a {type(self.combiner).__name__}, does not give what its "
                "1x1 convolutions with ReLUs between them give; move the rest of what it does into the U-Net, or draw "
                "with fastpunet.adapt(model, encode=..., combiner=...)"
            )
        return split

    def exportable(self, images: Tensor) -> Exportable:
        features, prior = self.features_and_prior(images)
        decode = SplitDecode(self.split_for(features.float(), prior), self.latent_maps, self.grid_of)
        return Exportable(NamedTensors(self, self.exported_tensors), decode, prior)

    def exported_tensors(self, images: Tensor) -> dict[str, Tensor]:
        """Features and prior of images, as an exported program returns them."""
        features, prior = self.features_and_prior(images)
        return {"features": features.float(), **prior_tensors(prior)}

    def grid_of(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """The cells of a latent map for images of this size; TypeError for a method without maps."""
        raise TypeError(f"model: {self.name} has no latent maps")

    def latent_inputs(self, prior: Prior) -> int:
        """Input channels of the combiner that latents are fed to."""
        return prior.latent_dim

    def encoded(self, split: SplitFComb, features: Tensor, prior: Prior) -> LatentEncoding:
        """The encoding of images with these features (B, C, *size) and this prior, and a combiner that was read."""
        return LatentEncoding(
            len(features), tuple(features.shape[2:]), features, prior, split.base(features), split.decoder
        )

    def latent_dim_of(self, encoding: LatentEncoding) -> int:
        return encoding.prior.latent_dim

    def latents(self, encoding: Any, noise: Noise) -> Tensor | Gaussian:
        """Latents of the images' priors for this noise, or their recipe for a kernel."""
        prior: Prior = encoding.prior
        if noise.sampler not in prior.samplers:
            raise ValueError(
                f"sampler: got {noise.sampler!r}, expected {' or '.join(prior.samplers)}: the prior of {self.name} is "
                f"{prior.described}"
            )
        return prior.latents(noise)

    def prior_of(self, encoding: LatentEncoding) -> Prior:
        return encoding.prior

    def draws_by_networks(self, encoding: LatentEncoding) -> bool:
        return False

    def scratch_bytes(self, encoding: LatentEncoding) -> int:  # type: ignore[override]
        """Memory of three vectors as long as the latent, and of one as long as the first layer is wide."""
        return 4 * encoding.images * (3 * encoding.prior.latent_dim + encoding.base.shape[2])

    def logits(self, encoding: LatentEncoding, noise: Noise) -> Tensor:
        flat = self.draw(encoding, noise, output="logits", precision="ieee", backend="auto")
        return flat.unflatten(-1, encoding.size)

    def draw(self, encoding: LatentEncoding, noise: Noise, *, output: str, precision: str, backend: str) -> Tensor:
        z = self.latents(encoding, noise)
        return self.decode(encoding, z, output=output, precision=precision, backend=backend)

    def decode(
        self, encoding: LatentEncoding, z: Tensor | Gaussian, *, output: str, precision: str, backend: str
    ) -> Tensor:
        base, decoder, latents, maps = encoding.problem(z)
        return decode_samples(base, decoder, latents, maps=maps, output=output, precision=precision, backend=backend)

    def differentiable_logits(self, encoding: LatentEncoding, z: Tensor, pixels: Tensor | None = None) -> Tensor:
        """Logits of latents z float (B, n, latent_dim), computed in the dtype of z, float32 or float64, with gradients.

        Returns (B, n, K, *size), or, for pixels int64 (p,), indices of the image's flattened pixels, (B, n, K, p).
        It computes what `decode` does: Kohl et al. 2018, equation 2, with the first layer of f_comb split.
        """
        base, decoder, latents = encoding.problem(z).without_maps()
        assert isinstance(latents, Tensor)
        base = base if pixels is None else base[:, pixels]
        logits = decode_logits(base.to(z.dtype), decoder.to(z.dtype), latents)
        logits = logits.reshape(*z.shape[:2], *logits.shape[2:])
        return logits.unflatten(3, encoding.size) if pixels is None else logits

    def tune(self, encoding: LatentEncoding, noise: Noise, *, output: str, precision: str) -> dict[str, float]:
        base, decoder, latents = encoding.problem(self.latents(encoding, noise)).without_maps()
        return tune_decode(base, decoder, latents, output=output, precision=precision)

    def sums(self, encoding: LatentEncoding, noise: Noise, *, precision: str, backend: str) -> Sums:
        base, decoder, latents, maps = encoding.problem(self.latents(encoding, noise))
        return decode_sums(base, decoder, latents, maps=maps, precision=precision, backend=backend)


def _is_as_published(combiner: nn.Module) -> bool:
    """Whether a combiner is our own FComb whose forward pass nobody has changed by hooks or replacement."""
    untouched = not any(module._forward_hooks or "forward" in vars(module) for module in combiner.modules())
    return type(combiner) is FComb and untouched


def _verified(combiner: nn.Module, features: Tensor, latent_dim: int) -> bool:
    verified = verify(combiner, features, latent_dim)
    return verified is not None and not verified.latents_first and verified.last_activation is None
