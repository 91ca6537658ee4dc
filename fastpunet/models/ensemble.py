"""The U-Net Ensemble: deterministic U-Nets, trained independently (Lakshminarayanan et al. 2017, arXiv 1612.01474)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.arguments import check_channels, check_counts, check_dims, check_num_classes
from fastpunet.latents import Noise
from fastpunet.models.cross_entropy import cross_entropy_of_each
from fastpunet.models.exportable import Exportable, NamedTensors
from fastpunet.models.method import Encoding, ImageEncoding, LossTerms, Method
from fastpunet.models.unet import CONV, Conv, UNet, init_conv


class UNetEnsemble(Method):
    """Each member gives one hypothesis, so m members give at most m for an image (Kohl et al. 2018, section 4).

    In training only the member `id modulo members` sees an example. Members share neither weights nor examples, so a
    batch of b images trains each member on b / members of them. In sampling the seed decides the members' order, which
    is the same for all images, and n hypotheses come from n different members.

    Args: those of `ProbabilisticUNet`, and members: the number of U-Nets.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        channels: Sequence[int] = (32, 64, 128, 192),
        *,
        members: int = 16,
        convs_per_block: int = 3,
        dims: int = 2,
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, members=members, convs_per_block=convs_per_block)
        check_num_classes(num_classes)
        check_dims(dims)
        check_channels(channels)
        self.config = dict[str, Any](
            in_channels=in_channels,
            num_classes=num_classes,
            channels=list(channels),
            members=members,
            convs_per_block=convs_per_block,
            dims=dims,
        )
        self.in_channels, self.num_classes, self.dims, self.max_hypotheses = in_channels, num_classes, dims, members
        self.members = nn.ModuleList(
            _Member(in_channels, num_classes, channels, convs_per_block, dims) for _ in range(members)
        )

    def output_layers(self) -> Sequence[Conv]:
        return [member.last_layer for member in self.members]  # type: ignore[misc]

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
        """The cross-entropy of each image under the one member that it trains."""
        learners = ids % len(self.members)
        reconstruction = images.new_zeros(labels.shape[:2], dtype=torch.float32)
        for learner in learners.unique().tolist():
            its = learners == learner
            logits = self.members[learner](images[its])[:, None]
            entropies = cross_entropy_of_each(logits, labels[its], ignore_index, class_weights)[:, 0]
            reconstruction = reconstruction.masked_scatter(its[:, None], entropies)
        return LossTerms(reconstruction, reconstruction.new_zeros(*reconstruction.shape, 0))

    def encode(self, images: Tensor) -> ImageEncoding:
        """Return the images as they are, because members share no computation."""
        return ImageEncoding.of(images)

    def exportable(self, images: Tensor) -> Exportable:
        return Exportable(
            NamedTensors(self, lambda images: {"logits": torch.stack([m(images) for m in self.members], 1)})
        )

    def logits(self, encoding: ImageEncoding, noise: Noise) -> Tensor:
        chosen = [self.members[member] for member in noise.choose(len(self.members))]
        return torch.stack([member(encoding.values) for member in chosen], dim=1)

    def scratch_bytes(self, encoding: Encoding) -> int:
        """Members run one after another: each further hypothesis takes the memory of its logits alone."""
        return 4 * self.num_classes * encoding.images * encoding.pixels


class _Member(nn.Module):
    def __init__(
        self, in_channels: int, num_classes: int, channels: Sequence[int], convs_per_block: int, dims: int
    ) -> None:
        super().__init__()
        self.unet = UNet(in_channels, channels, convs_per_block, dims)
        self.last_layer = CONV[dims](channels[0], num_classes, 1)
        init_conv(self.last_layer)

    def forward(self, images: Tensor) -> Tensor:
        return self.last_layer(self.unet(images))
