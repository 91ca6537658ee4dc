"""Bit-packed masks: one bit per pixel and class, 8 times smaller than uint8 labels and ready for popcount."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import EllipsisType

import torch
from torch import Tensor

from fastpunet.arguments import check_count, check_label_range, check_label_tensor, is_whole_number
from fastpunet_kernels import WORD_BITS, area, pack_labels, unpack_labels


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """Label maps of n hypotheses for each of B images, packed along the flattened pixels.

    words  int32 (B, n, K', ceil(pixels / 32)): pixel p is bit p % 32 of word p // 32, and the spare bits of the last
           word are 0. Binary masks have one plane, K' = 1, that of the foreground; masks of K classes have K' = K
           planes, one for each class, of which at most one has the bit of a pixel
    size   of the images, (H, W) or (D, H, W)

    Raises TypeError or ValueError, naming the argument, for words that do not fit the size.

    >>> masks = PackedMasks.pack(torch.tensor([[[[0, 1, 1]], [[1, 0, 0]]]]))  # one image of 1 x 3 pixels, two masks
    >>> masks.words.flatten().tolist()
    [6, 1]
    >>> masks.area().flatten().tolist()
    [2, 1]
    >>> masks[:, 1:].unpack()
    tensor([[[[1, 0, 0]]]], dtype=torch.uint8)
    """

    words: Tensor
    size: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.size, tuple) or len(self.size) not in (2, 3):
            raise ValueError(f"size: got {self.size!r}, expected the images' (H, W) or (D, H, W)")
        for length in self.size:
            check_count("size", length)
        expected = -(-self.pixels // WORD_BITS)
        if not isinstance(self.words, Tensor):
            raise TypeError(f"words: got {type(self.words).__name__}, expected a tensor; see PackedMasks.pack")
        if self.words.ndim != 4 or self.words.dtype != torch.int32 or self.words.shape[3] != expected:
            raise ValueError(
                f"words: got {self.words.dtype} {tuple(self.words.shape)}, expected torch.int32 (B, n, K', {expected}) "
                f"for {' x '.join(map(str, self.size))} pixels"
            )
        used = self.pixels % WORD_BITS
        # Not checked on a GPU, where the host would have to wait for the result.
        if used and self.words.device.type == "cpu" and bool((self.words[..., -1] >> used).any()):
            raise ValueError(
                f"words: got bits beyond the last of {self.pixels} pixels, expected 0 there; see PackedMasks.pack"
            )

    @classmethod
    def pack(cls, labels: Tensor, num_classes: int | None = None, *, ignore_index: int | None = None) -> PackedMasks:
        """Pack the labels 0 .. num_classes - 1 of label maps.

        labels        (B, n, H, W) or (B, n, D, H, W) of bool, uint8 or signed integer dtype
        num_classes   None or 1: binary masks of labels 0 and 1, one plane for the foreground;
                      K of 2 .. 256: one plane for each class
        ignore_index  a label other than these, such as 255, of pixels that belong to no class: no bit is set for them.
                      In binary masks they become background, so pass `ignore` to the scores as well

        Raises TypeError for labels of another dtype and ValueError for labels out of range, naming the argument.

        >>> PackedMasks.pack(torch.tensor([[[[0, 2, 255]]]]), 3, ignore_index=255).unpack()
        tensor([[[[  0,   2, 255]]]], dtype=torch.uint8)
        """
        check_label_tensor("labels", labels, "(B, n, H, W) or (B, n, D, H, W)")
        classes = 1 if num_classes is None else check_count("num_classes", num_classes, limit=256)
        if 0 in labels.shape[2:]:
            raise ValueError(f"labels: got shape {tuple(labels.shape)}, expected at least one pixel; skip empty images")
        if ignore_index is not None and not is_whole_number(ignore_index):
            raise TypeError(f"ignore_index: got {ignore_index!r}, expected a label such as 255, or None")
        if ignore_index in range(max(2, classes)):
            raise ValueError(
                f"ignore_index: got {ignore_index}, which is a class; expected a label other than 0 .. "
                f"{max(2, classes) - 1}"
            )
        counted = labels if ignore_index is None else labels.masked_fill(labels == ignore_index, 0)
        check_label_range(
            "labels", counted, max(2, classes), "give num_classes, or name a label of no class as ignore_index"
        )
        words = pack_labels(labels.flatten(2), [1] if classes == 1 else range(classes))
        return cls(words, tuple(labels.shape[2:]))

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return math.prod(self.size)

    @property
    def num_planes(self) -> int:
        """K', the number of classes, or 1 for binary masks."""
        return self.words.shape[2]

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, n, *size), the shape of the unpacked labels."""
        return (self.words.shape[0], self.words.shape[1], *self.size)

    @property
    def device(self) -> torch.device:
        return self.words.device

    def __getitem__(self, index: object) -> PackedMasks:
        """Select images and hypotheses with slices or index tensors: packed[:, :16]."""
        parts = index if isinstance(index, tuple) else (index,)
        words = self.words[index] if len(parts) <= 2 else None  # type: ignore[index]
        if words is None or words.ndim != 4 or any(isinstance(part, EllipsisType | None) for part in parts):
            raise IndexError("index: expected slices or index tensors over images and hypotheses, as in packed[:, :16]")
        return replace(self, words=words)

    def to(self, device: torch.device | str) -> PackedMasks:
        return replace(self, words=self.words.to(device))

    def unpack(self) -> Tensor:
        """Labels uint8 (B, n, *size). In masks with a plane for each class, pixels of no class become 255."""
        return unpack_labels(self.words, self.pixels).unflatten(-1, self.size)

    def area(self) -> Tensor:
        """Pixels per hypothesis and plane: int64 (B, n, K')."""
        return area(self.words).long()
