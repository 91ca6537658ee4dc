"""Bit-packed masks: one bit per pixel and class, 8 times smaller than uint8 labels and ready for popcount."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fastpunet_kernels import WORD_BITS, area, pack_labels, unpack_labels


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """Label maps of n hypotheses for each of B images, packed along the flattened pixels.

    words int32 (B, n, K', ceil(pixels / 32)), pixel p at bit p % 32 of word p // 32, spare bits 0.
    size is the images' own, (H, W) or (D, H, W).
    Binary masks have one plane, K' = 1 (the foreground); K > 2 or multi-class labels have one plane a class.
    """

    words: Tensor
    size: tuple[int, ...]

    def __post_init__(self) -> None:
        expected = -(-self.pixels // WORD_BITS)
        if self.words.ndim != 4 or self.words.dtype != torch.int32 or self.words.shape[3] != expected:
            raise ValueError(
                f"words: got {self.words.dtype} {tuple(self.words.shape)}, expected torch.int32 (B, n, K', {expected}) "
                f"for {' x '.join(map(str, self.size))} pixels"
            )

    @classmethod
    def pack(cls, labels: Tensor, num_classes: int | None = None) -> PackedMasks:
        """Pack labels (B, n, *size), bool or integer. num_classes=None: binary. A label of no class sets no bit."""
        if not isinstance(labels, Tensor) or labels.ndim not in (4, 5):
            got = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
            raise ValueError(
                f"labels: got {got}, expected a tensor (B, n, H, W) or (B, n, D, H, W); add axes with labels[None]"
            )
        if num_classes is not None and not 1 <= num_classes <= 256:
            raise ValueError(f"num_classes: got {num_classes}, expected 1 .. 256, or None for binary masks")
        flat = labels.flatten(2)
        words = pack_labels(flat.bool(), [1]) if num_classes is None else pack_labels(flat, range(num_classes))
        return cls(words, tuple(labels.shape[2:]))

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return math.prod(self.size)

    @property
    def num_planes(self) -> int:
        return self.words.shape[2]

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, n, *size), as of the unpacked labels."""
        return (self.words.shape[0], self.words.shape[1], *self.size)

    def __getitem__(self, index: object) -> PackedMasks:
        """Select images and hypotheses with slices or index tensors: packed[:, :16]."""
        words = self.words[index]  # type: ignore[index]
        if words.ndim != 4 or words.shape[2:] != self.words.shape[2:]:
            raise IndexError(
                "PackedMasks takes slices or index tensors over images and hypotheses, as in packed[:, :16]"
            )
        return replace(self, words=words)

    def to(self, device: torch.device | str) -> PackedMasks:
        return replace(self, words=self.words.to(device))

    def unpack(self) -> Tensor:
        """Labels uint8 (B, n, *size); 255 where no class is set (multi-class only)."""
        return unpack_labels(self.words, self.pixels).unflatten(-1, self.size)

    def area(self) -> Tensor:
        """Pixels per hypothesis and plane: int64 (B, n, K')."""
        return area(self.words).long()
