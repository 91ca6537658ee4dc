"""The Dropout U-Net: a U-Net whose dropout stays on (Gal and Ghahramani 2016; Kendall et al., arXiv 1511.02680)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.arguments import check_channels, check_counts, check_num_classes
from fastpunet.models.cross_entropy import cross_entropy_of_each
from fastpunet.models.method import Baseline, Elbo, spans
from fastpunet.models.unet import UNet, init_conv
from fastpunet_kernels import philox_normal

_INNERMOST = 3


class DropoutUNet(Baseline):
    """Dropout on the input of the three innermost encoder and decoder blocks, in training and in sampling alike
    (Kohl et al. 2018, section 4, "Dropout U-Net"); the image itself is never dropped.

    The layers before the first dropout run once for all hypotheses. Which units hypothesis k of the image with id i
    drops under seed s is a function of (s, i, k) alone.

    Args as of `ProbabilisticUNet`, and dropout: the probability with which a unit is dropped, 0 < dropout < 1.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        channels: Sequence[int] = (32, 64, 128, 192),
        *,
        dropout: float = 0.5,
        convs_per_block: int = 3,
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, convs_per_block=convs_per_block)
        check_num_classes(num_classes)
        check_channels(channels)
        if len(channels) < 2:
            raise ValueError(f"channels: got {channels!r}, expected at least 2 scales: dropout begins at the second")
        if not isinstance(dropout, float) or not 0 < dropout < 1:
            raise ValueError(f"dropout: got {dropout!r}, expected a probability between 0 and 1")
        self.config = dict[str, Any](
            in_channels=in_channels,
            num_classes=num_classes,
            channels=list(channels),
            dropout=dropout,
            convs_per_block=convs_per_block,
        )
        self.in_channels, self.num_classes, self.dropout = in_channels, num_classes, dropout
        self.unet = UNet(in_channels, channels, convs_per_block)
        self.last_layer = nn.Conv2d(channels[0], num_classes, 1)
        init_conv(self.last_layer)
        self._first = max(1, len(channels) - _INNERMOST)  # the first scale whose input is dropped

    def output_layers(self) -> Sequence[nn.Conv2d]:
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
    ) -> Elbo:
        """The cross-entropy; one pass an image, whose dropped units its graders share."""
        logits = next(self._logits(images, 1, seed, ids, 1))
        reconstruction = cross_entropy_of_each(logits, labels, ignore_index, class_weights)[:, 0]
        return Elbo(reconstruction, reconstruction.new_zeros(*reconstruction.shape, 0))

    def _logits(self, images: Tensor, n: int, seed: int, ids: Tensor, chunk: int) -> Iterator[Tensor]:
        skips = [images]
        for down in self.unet.contracting_path[: self._first]:
            skips.append(down(skips[-1]))
        for first, count in spans(n, chunk):
            yield self._stochastic(skips[1:], _Dropout(self.dropout, seed, ids, first, count))

    def _stochastic(self, skips: Sequence[Tensor], drop: _Dropout) -> Tensor:
        """The layers from the first dropout on: skips (B, C, h, w) of the layers before, to logits (B, m, K, H, W)."""
        skips = [skip.repeat_interleave(drop.count, 0) for skip in skips]
        for down in self.unet.contracting_path[self._first :]:
            skips.append(down(skips[-1], drop))
        x = skips.pop()
        for depth, up in enumerate(self.unet.upsampling_path):
            x = up(x, skips.pop(), drop if depth < _INNERMOST else None)
        return self.last_layer(x).unflatten(0, (-1, drop.count))


class _Dropout:
    """Drops units of one layer after another, each layer with noise of its own."""

    def __init__(self, probability: float, seed: int, ids: Tensor, first: int, count: int) -> None:
        self._keep, self._threshold = 1 - probability, torch.special.ndtri(torch.tensor(probability)).item()
        self._seed, self._ids, self._first, self.count = seed, ids, first, count
        self._layer = 0

    def __call__(self, x: Tensor) -> Tensor:
        """x (B * count, C, h, w), of which a unit is kept where a standard normal exceeds the dropout's quantile."""
        noise = philox_normal(self._seed ^ (self._layer << 48), self._ids, self._first, self.count, x[0].numel())
        self._layer += 1
        return x * (noise.view(x.shape) > self._threshold) / self._keep
