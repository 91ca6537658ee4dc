"""Masks of any accepted kind -> packed words, one plane for each class that a metric looks at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.metrics.checks import Masks, check_labels
from fastpunet.metrics.conventions import Convention
from fastpunet_kernels import pack_bits, pack_labels


def class_words(masks: Masks, num_classes: int, classes: Sequence[int], ignore: Tensor | None) -> Tensor:
    """Packed int32 (B, N, len(classes), words) of the named classes; ignored pixels (B, H, W) belong to none."""
    if isinstance(masks, PackedMasks):
        words = _select_planes(masks, num_classes, classes)
    else:
        words = pack_labels(masks.flatten(2), classes)
    return words if ignore is None else words & pack_bits(~ignore.flatten(1))[:, None, None]


def convention_words(name: str, masks: Masks, rule: Convention, ignore: Tensor | None) -> Tensor:
    """Packed int32 (B, N, classes, words) of the classes that a convention averages. ValueError for other labels."""
    remedy = f'convention {rule.name!r} has {rule.num_classes} classes: try convention("ccdm", num_classes=K)'
    check_labels(name, masks, rule.num_classes, ignore, remedy)
    return class_words(masks, rule.num_classes, rule.averaged, ignore)


def _select_planes(masks: PackedMasks, num_classes: int, classes: Sequence[int]) -> Tensor:
    words = masks.words
    if masks.num_planes == 1 and num_classes == 2:
        every_pixel = pack_bits(torch.ones(masks.pixels, dtype=torch.bool, device=words.device))
        planes = [words if wanted == 1 else ~words & every_pixel for wanted in classes]
        return planes[0] if len(planes) == 1 else torch.cat(planes, dim=2)
    return words[:, :, list(classes)]
