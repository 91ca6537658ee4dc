"""The U-Net Ensemble: deterministic U-Nets, trained independently (Lakshminarayanan et al. 2017, arXiv 1612.01474)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.arguments import check_channels, check_counts, check_num_classes
from fastpunet.models.cross_entropy import cross_entropy_of_each
from fastpunet.models.method import Baseline, Elbo, spans
from fastpunet.models.unet import UNet, init_conv


class UNetEnsemble(Baseline):
    """Each member is one hypothesis: m members answer an image with at most m (Kohl et al. 2018, section 4).

    In training the member `id modulo members` sees an example, and no other: members share neither weights nor
    examples, so a batch of b images trains each on b / members. In sampling the seed decides the members' order, the
    same for all images; n of them are distinct.

    Args as of `ProbabilisticUNet`, and members: how many U-Nets there are.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        channels: Sequence[int] = (32, 64, 128, 192),
        *,
        members: int = 16,
        convs_per_block: int = 3,
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, members=members, convs_per_block=convs_per_block)
        check_num_classes(num_classes)
        check_channels(channels)
        self.config = dict[str, Any](
            in_channels=in_channels,
            num_classes=num_classes,
            channels=list(channels),
            members=members,
            convs_per_block=convs_per_block,
        )
        self.in_channels, self.num_classes, self.most = in_channels, num_classes, members
        self.members = nn.ModuleList(
            _Member(in_channels, num_classes, channels, convs_per_block) for _ in range(members)
        )

    def output_layers(self) -> Sequence[nn.Conv2d]:
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
    ) -> Elbo:
        """The cross-entropy of each image under the one member that it trains."""
        learners = ids % len(self.members)
        reconstruction = images.new_zeros(labels.shape[:2], dtype=torch.float32)
        for learner in learners.unique().tolist():
            its = learners == learner
            logits = self.members[learner](images[its])[:, None]
            entropies = cross_entropy_of_each(logits, labels[its], ignore_index, class_weights)[:, 0]
            reconstruction = reconstruction.masked_scatter(its[:, None], entropies)
        return Elbo(reconstruction, reconstruction.new_zeros(*reconstruction.shape, 0))

    def _logits(self, images: Tensor, n: int, seed: int, ids: Tensor, chunk: int) -> Iterator[Tensor]:
        order = torch.randperm(len(self.members), generator=torch.Generator().manual_seed(seed)).tolist()
        for first, count in spans(n, chunk):
            yield torch.stack([self.members[member](images) for member in order[first : first + count]], dim=1)


class _Member(nn.Module):
    def __init__(self, in_channels: int, num_classes: int, channels: Sequence[int], convs_per_block: int) -> None:
        super().__init__()
        self.unet = UNet(in_channels, channels, convs_per_block)
        self.last_layer = nn.Conv2d(channels[0], num_classes, 1)
        init_conv(self.last_layer)

    def forward(self, images: Tensor) -> Tensor:
        return self.last_layer(self.unet(images))
