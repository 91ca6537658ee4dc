"""The stochastic segmentation network: a low-rank normal over the logits of all pixels (Monteiro et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastpunet.arguments import check_channels, check_counts, check_dims, check_num_classes
from fastpunet.latents import Noise
from fastpunet.models.cross_entropy import cross_entropy_of_each
from fastpunet.models.exportable import Exportable, NamedTensors
from fastpunet.models.method import Encoding, LossTerms, Method
from fastpunet.models.unet import CONV, Conv, UNet, init_conv
from fastpunet_kernels import BACKENDS, LowRankLogits, Sums, draw_low_rank, draw_low_rank_sums


@dataclass(frozen=True, eq=False)
class NormalLogits(Encoding):
    """The distribution of the logits of B images, with their pixels flattened."""

    normal: LowRankLogits

    def parts(self) -> dict[str, Tensor]:
        mean, factor, sigma = self.normal
        return {"the logits' mean": mean, "the logits' factors": factor, "the logits' standard deviation": sigma}


class SSN(Method):
    """Logits are drawn from a normal distribution whose mean, factors and diagonal a U-Net gives (Monteiro et al. 2020,
    arXiv 2006.06015).

    logits = mean + sum_r factor[r] e[r] + exp(log_diagonal / 2) * e', where e are `rank` standard normals of the whole
    image, and e' one of each class and pixel. Three 1x1 convolutions after the U-Net's last layer give mean, factors
    and log-diagonal. The authors' release adds 1e-5 to the diagonal for the sake of the normal's density, which
    nothing here needs.

    One kernel draws a hypothesis from its noise, without a network. There is no latent to decode: e alone
    does not determine a hypothesis. Sobol points and antithetic pairs take the place of e, and e' stays independent.

    Args: those of `ProbabilisticUNet`, and
        rank: number of factors; 10 in the paper.
        draws: of the logits in the estimate of the likelihood in training, an even number; 20 in the paper.
    """

    encoding_kind = NormalLogits
    backends = BACKENDS
    gaussian_latent = True

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        channels: Sequence[int] = (32, 64, 128, 192),
        *,
        rank: int = 10,
        draws: int = 20,
        convs_per_block: int = 3,
        dims: int = 2,
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, rank=rank, draws=draws, convs_per_block=convs_per_block)
        check_num_classes(num_classes)
        check_dims(dims)
        check_channels(channels)
        if draws % 2:
            raise ValueError(f"draws: got {draws}, expected an even number, because draws come in mirrored pairs")
        self.config = dict[str, Any](
            in_channels=in_channels,
            num_classes=num_classes,
            channels=list(channels),
            rank=rank,
            draws=draws,
            convs_per_block=convs_per_block,
            dims=dims,
        )
        self.in_channels, self.num_classes, self.dims = in_channels, num_classes, dims
        self.rank, self.draws = rank, draws
        self.unet = UNet(in_channels, channels, convs_per_block, dims)
        self.mean_layer = CONV[dims](channels[0], num_classes, 1)
        self.factor_layer = CONV[dims](channels[0], rank * num_classes, 1)
        self.diagonal_layer = CONV[dims](channels[0], num_classes, 1)
        for layer in (self.mean_layer, self.factor_layer, self.diagonal_layer):
            init_conv(layer)
        with torch.no_grad():
            self.factor_layer.weight.div_(math.sqrt(rank))  # all factors together vary as much as one mean would

    def output_layers(self) -> Sequence[Conv]:
        return [self.mean_layer]

    @torch.no_grad()
    def rescale(self, shift: float, temperature: float) -> None:
        super().rescale(shift, temperature)
        assert self.factor_layer.bias is not None
        assert self.diagonal_layer.bias is not None
        self.factor_layer.weight.div_(temperature)
        self.factor_layer.bias.div_(temperature)
        self.diagonal_layer.bias.sub_(2 * math.log(temperature))

    def encode(self, images: Tensor) -> NormalLogits:
        return NormalLogits(len(images), tuple(images.shape[2:]), self.distribution(images))

    def distribution(self, images: Tensor) -> LowRankLogits:
        """The distribution of the logits of images (B, C, *size), in float32 also under autocast."""
        features = self.unet(images)
        with torch.autocast(images.device.type, enabled=False):
            features = features.float()
            mean, factor, log_diagonal = (
                _convolved(layer, features) for layer in (self.mean_layer, self.factor_layer, self.diagonal_layer)
            )
            return LowRankLogits(mean, factor.unflatten(1, (self.rank, self.num_classes)), (log_diagonal / 2).exp())

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
        """-log of the mean likelihood p(labels | logits) of `draws` draws of the logits (Monteiro et al. 2020, equation
        5).

        Every draw is of all pixels together, and the mean is over draws of whole segmentations: draws that agree with a
        grader everywhere count, and pixels that disagree alone do not. As in the authors' release, half of the draws
        are mirror images of the others about the mean, and an image's graders share its draws.
        """
        mean, factor, sigma = self.distribution(images)
        noise = Noise(seed, ids, 0, self.draws // 2)
        pixels = [noise.normals(mean.shape[2], layer=1 + label) for label in range(self.num_classes)]
        offset = torch.einsum("brkp,bmr->bmkp", factor, noise.normals(self.rank))
        offset = offset + sigma[:, None] * torch.stack(pixels, dim=2)
        logits = torch.cat((mean[:, None] + offset, mean[:, None] - offset), dim=1)
        entropies = cross_entropy_of_each(logits.unflatten(3, labels.shape[2:]), labels, ignore_index, class_weights)
        reconstruction = math.log(self.draws) - (-entropies).logsumexp(1)
        return LossTerms(reconstruction, reconstruction.new_zeros(*reconstruction.shape, 0))

    def exportable(self, images: Tensor) -> Exportable:
        """The distribution's three parts, each with the images' size behind it."""

        def tensors(images: Tensor) -> dict[str, Tensor]:
            names = ("mean", "factor", "sigma")
            parts = zip(names, self.distribution(images), strict=True)
            return {name: part.unflatten(-1, images.shape[2:]) for name, part in parts}

        return Exportable(NamedTensors(self, tensors))

    def draws_by_networks(self, encoding: NormalLogits) -> bool:
        return False

    def scratch_bytes(self, encoding: Encoding) -> int:
        """Memory of three vectors as long as the rank."""
        return 12 * encoding.images * self.rank

    def logits(self, encoding: NormalLogits, noise: Noise) -> Tensor:
        flat = self.draw(encoding, noise, output="logits", precision="ieee", backend="auto")
        return flat.unflatten(-1, encoding.size)

    def draw(self, encoding: NormalLogits, noise: Noise, *, output: str, precision: str, backend: str) -> Tensor:
        e = noise.normals(self.rank)
        return draw_low_rank(
            encoding.normal, e, noise.ids, seed=noise.seed, first=noise.first, output=output, backend=backend
        )

    def sums(self, encoding: NormalLogits, noise: Noise, *, precision: str, backend: str) -> Sums:
        e = noise.normals(self.rank)
        return draw_low_rank_sums(encoding.normal, e, noise.ids, seed=noise.seed, first=noise.first, backend=backend)


def _convolved(layer: Conv, features: Tensor) -> Tensor:
    """What a layer makes of features float32 (B, C, *size), with the pixels flattened and side by side in memory."""
    assert layer.bias is not None
    convolve = F.conv2d if features.ndim == 4 else F.conv3d
    return convolve(features, layer.weight.float(), layer.bias.float()).flatten(2).contiguous()
