"""Masks of any accepted kind -> packed words, one plane for each class that a metric looks at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.metrics.checks import Masks
from fastpunet_kernels import pack_bits

_COMPARED_AT_ONCE = 1 << 22  # pixels x classes: bounds what lies unpacked in memory, whatever the number of masks


def class_words(masks: Masks, num_classes: int, classes: Sequence[int], ignore: Tensor | None) -> Tensor:
    """Packed int32 (B, N, len(classes), words) of the named classes; ignored pixels (B, H, W) belong to none."""
    if isinstance(masks, PackedMasks):
        words = _select_planes(masks, num_classes, classes)
    else:
        words = _pack_labels(masks, classes)
    return words if ignore is None else words & pack_bits(~ignore.flatten(1))[:, None, None]


def _select_planes(masks: PackedMasks, num_classes: int, classes: Sequence[int]) -> Tensor:
    words = masks.words
    if masks.num_planes == 1 and num_classes == 2:
        every_pixel = pack_bits(torch.ones(masks.height * masks.width, dtype=torch.bool, device=words.device))
        words = torch.cat([~words & every_pixel, words], dim=2)
    return words[:, :, list(classes)]


def _pack_labels(labels: Tensor, classes: Sequence[int]) -> Tensor:
    wanted = torch.tensor(classes, device=labels.device)[:, None]
    flat = labels.flatten(2).flatten(0, 1).unsqueeze(1)  # (B N, 1, P)
    at_once = max(1, _COMPARED_AT_ONCE // (len(classes) * flat.shape[-1]))
    words = torch.cat([pack_bits(some == wanted) for some in flat.split(at_once)])
    return words.view(*labels.shape[:2], *words.shape[1:])
