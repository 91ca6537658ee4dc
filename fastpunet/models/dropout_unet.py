"""The Dropout U-Net: a U-Net whose dropout stays on (Gal and Ghahramani 2016; Kendall et al., arXiv 1511.02680)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from fastpunet.arguments import check_channels, check_counts, check_dims, check_num_classes
from fastpunet.latents import Noise
from fastpunet.models.cross_entropy import cross_entropy_of_each
from fastpunet.models.exportable import Exportable
from fastpunet.models.method import Encoding, LossTerms, Method
from fastpunet.models.unet import CONV, Conv, UNet, init_conv

_INNERMOST = 3


@dataclass(frozen=True, eq=False)
class SharedLayers(Encoding):
    """The outputs of the scales before the first dropout, (B, C, h, w) each, which are the same for all hypotheses."""

    skips: list[Tensor]

    def parts(self) -> dict[str, Tensor]:
        return {"the last layer before dropout": self.skips[-1]}


class DropoutUNet(Method):
    """A U-Net with dropout on the input of the three innermost encoder and decoder blocks, in training and in sampling
    (Kohl et al. 2018, section 4, "Dropout U-Net"). No pixel of the image itself is dropped.

    The layers before the first dropout run once for all hypotheses. Which units hypothesis k of the image with id i
    drops under seed s is a function of (s, i, k) alone.

    Args: those of `ProbabilisticUNet`, and dropout: the probability with which a unit is dropped, 0 < dropout < 1.
    """

    encoding_kind = SharedLayers

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 1,
        channels: Sequence[int] = (32, 64, 128, 192),
        *,
        dropout: float = 0.5,
        convs_per_block: int = 3,
        dims: int = 2,
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, convs_per_block=convs_per_block)
        check_num_classes(num_classes)
        check_dims(dims)
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
            dims=dims,
        )
        self.in_channels, self.num_classes, self.dims, self.dropout = in_channels, num_classes, dims, dropout
        self.unet = UNet(in_channels, channels, convs_per_block, dims)
        self.last_layer = CONV[dims](channels[0], num_classes, 1)
        init_conv(self.last_layer)
        self._first = max(1, len(channels) - _INNERMOST)  # the first scale whose input is dropped

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
        """The cross-entropy. Each image has one pass, so that its graders share the dropped units."""
        logits = self.logits(self.encode(images), Noise(seed, ids, 0, 1))
        reconstruction = cross_entropy_of_each(logits, labels, ignore_index, class_weights)[:, 0]
        return LossTerms(reconstruction, reconstruction.new_zeros(*reconstruction.shape, 0))

    def encode(self, images: Tensor) -> SharedLayers:
        skips = [images]
        for down in self.unet.contracting_path[: self._first]:
            skips.append(down(skips[-1]))
        return SharedLayers(len(images), tuple(images.shape[2:]), skips[1:])

    def exportable(self, images: Tensor) -> Exportable:
        raise TypeError(
            "model: a Dropout U-Net cannot be exported: which units a hypothesis drops is drawn by a counter-based "
            "generator inside the network, which neither ONNX nor torch.export has; export another method"
        )

    def logits(self, encoding: SharedLayers, noise: Noise) -> Tensor:
        """Run the layers from the first dropout on."""
        drop = _Dropout(self.dropout, noise)
        skips = [skip.repeat_interleave(noise.n, 0) for skip in encoding.skips]
        for down in self.unet.contracting_path[self._first :]:
            skips.append(down(skips[-1], drop))
        x = skips.pop()
        for depth, up in enumerate(self.unet.upsampling_path):
            x = up(x, skips.pop(), drop if depth < _INNERMOST else None)
        return self.last_layer(x).unflatten(0, (-1, noise.n))


@cache
def _quantile(probability: float) -> float:
    """That of the standard normal distribution, to which a float32 is compared."""
    return torch.special.ndtri(torch.tensor(probability)).item()


class _Dropout:
    """Drops units of one layer after another, each with independent noise."""

    def __init__(self, probability: float, noise: Noise) -> None:
        self._keep, self._threshold = 1 - probability, _quantile(probability)
        self._noise, self._layer = noise, 0

    def __call__(self, x: Tensor) -> Tensor:
        """Drop units of x (B * n, C, *size): one is kept if its standard normal exceeds the probability's quantile."""
        normals = self._noise.normals(x[0].numel(), self._layer)
        self._layer += 1
        return x * (normals.view(x.shape) > self._threshold) / self._keep
