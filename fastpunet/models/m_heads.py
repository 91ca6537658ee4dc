"""M-Heads: one U-Net, M output layers (Rupprecht et al. 2017, arXiv 1612.00197; Ilg et al. 2018, arXiv 1802.07095)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fastpunet.arguments import check_channels, check_counts, check_dims, check_num_classes
from fastpunet.latents import Noise
from fastpunet.models.cross_entropy import cross_entropy_of_each
from fastpunet.models.exportable import Exportable, NamedTensors
from fastpunet.models.method import Encoding, LossTerms, Method
from fastpunet.models.unet import CONV, Conv, UNet, init_conv


@dataclass(frozen=True, eq=False)
class Heads(Encoding):
    """The logits of all heads, (B, M, K, *size)."""

    logits: Tensor

    def parts(self) -> dict[str, Tensor]:
        return {"the heads' logits": self.logits}


class MHeads(Method):
    """M heads follow the U-Net's last layer. Each is a 1x1 convolution and gives one hypothesis (Kohl et al. 2018,
    section 4).

    In sampling the seed decides the heads' order, which is the same for all images, and n <= M hypotheses come from n
    different heads.

    Args: those of `ProbabilisticUNet`, and
        heads: M, at least 2.
        epsilon: the share of the loss that the heads other than the best one get, 0 <= epsilon < 1.
    """

    encoding_kind = Heads
    loss_options = ("hypotheses",)

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        channels: Sequence[int] = (32, 64, 128, 192),
        *,
        heads: int = 16,
        epsilon: float = 0.05,
        convs_per_block: int = 3,
        dims: int = 2,
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, heads=heads, convs_per_block=convs_per_block)
        check_num_classes(num_classes)
        check_dims(dims)
        check_channels(channels)
        if heads < 2:
            raise ValueError(f"heads: got {heads}, expected at least 2")
        if not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
            raise ValueError(f"epsilon: got {epsilon!r}, expected a share of at least 0 and below 1")
        self.config = dict[str, Any](
            in_channels=in_channels,
            num_classes=num_classes,
            channels=list(channels),
            heads=heads,
            epsilon=epsilon,
            convs_per_block=convs_per_block,
            dims=dims,
        )
        self.in_channels, self.num_classes, self.dims = in_channels, num_classes, dims
        self.max_hypotheses, self.epsilon = heads, epsilon
        self.unet = UNet(in_channels, channels, convs_per_block, dims)
        self.last_layer = CONV[dims](channels[0], heads * num_classes, 1)  # the heads side by side
        init_conv(self.last_layer)

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
        hypotheses: int = 0,
    ) -> LossTerms:
        """(1 - epsilon) times the cross-entropy of the best head, plus epsilon times the mean of the others' (Rupprecht
        et al. 2017, the relaxed meta loss). The best head is chosen for each segmentation. With `hypotheses`, however
        many, the result has the logits of all heads."""
        heads = self.encode(images).logits
        entropies = cross_entropy_of_each(heads, labels, ignore_index, class_weights)
        best = entropies.amin(1)
        others = (entropies.sum(1) - best) / (entropies.shape[1] - 1)
        reconstruction = (1 - self.epsilon) * best + self.epsilon * others
        kl = reconstruction.new_zeros(*reconstruction.shape, 0)
        return LossTerms(reconstruction, kl, hypotheses=heads if hypotheses else None)

    def encode(self, images: Tensor) -> Heads:
        return Heads(len(images), tuple(images.shape[2:]), self._heads(images))

    def _heads(self, images: Tensor) -> Tensor:
        return self.last_layer(self.unet(images)).unflatten(1, (-1, self.num_classes))

    def exportable(self, images: Tensor) -> Exportable:
        return Exportable(NamedTensors(self, lambda images: {"logits": self._heads(images)}))

    def draws_by_networks(self, encoding: Heads) -> bool:
        return False

    def logits(self, encoding: Heads, noise: Noise) -> Tensor:
        return encoding.logits[:, noise.choose(encoding.logits.shape[1])]
