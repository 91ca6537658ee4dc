"""Masks of any accepted form as packed words, with one plane for each class that a score looks at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet.arguments import check_count, check_label_range
from fastpunet.masks import PackedMasks
from fastpunet.metrics.conventions import Convention
from fastpunet.metrics.mask_sets import Masks, MaskSet, mask_weights
from fastpunet_kernels import pack_bits, pack_labels, unpack_labels

_UNPACKED = 1 << 26  # bytes of masks that are unpacked at a time

BINARY_ONLY = "score one class at a time, as with masks == 2"
NAME_THE_CLASSES = "pass num_classes=K for labels of K classes"


def count_classes(num_classes: int | None) -> int:
    """K as given, or 2 for None, which stands for binary masks."""
    if num_classes is None:
        return 2
    return check_count("num_classes", num_classes, least=2, advice="leave it out for binary masks")


def class_planes(
    masks: MaskSet, num_classes: int, classes: Sequence[int], ignore: Tensor | None, advice: str = NAME_THE_CLASSES
) -> Tensor:
    """Packed int32 (B, N, len(classes), words) of the named classes out of num_classes.

    Ignored pixels (B, *size) and filling belong to no class. Raises ValueError, which ends with the advice, for labels
    that are not 0 .. num_classes - 1 at a pixel that counts, and for PackedMasks of other classes.
    """
    _check_classes(masks.name, masks.masks, num_classes, ignore, advice)
    words = select_classes(masks.masks, num_classes, classes)
    if ignore is not None:
        words = words & pack_bits(~ignore.flatten(1))[:, None, None]
    return words.masked_fill(~masks.own[:, :, None, None], 0) if masks.ragged else words


def convention_planes(masks: MaskSet, rule: Convention, ignore: Tensor | None) -> Tensor:
    """`class_planes` of the classes that a convention averages."""
    advice = f'convention {rule.name!r} has {rule.num_classes} classes: try convention("ccdm", num_classes=K)'
    return class_planes(masks, rule.num_classes, rule.averaged, ignore, advice)


def select_classes(masks: Masks, num_classes: int, classes: Sequence[int]) -> Tensor:
    """Packed int32 (B, N, len(classes), words); pixels with any other label belong to none of the classes."""
    if not isinstance(masks, PackedMasks):
        return pack_labels(masks.flatten(2), classes)
    words = masks.words
    if masks.num_planes == 1 and num_classes == 2:
        planes = [words if wanted == 1 else _complement(masks) for wanted in classes]
        return planes[0] if len(planes) == 1 else torch.cat(planes, dim=2)
    return torch.stack([words[:, :, wanted] for wanted in classes], dim=2)


def _complement(masks: PackedMasks) -> Tensor:
    every_pixel = pack_bits(torch.ones(masks.pixels, dtype=torch.bool, device=masks.device))
    return ~masks.words & every_pixel


def class_shares(planes: Tensor, masks: MaskSet, weights: Tensor | None = None, name: str = "weights") -> Tensor:
    """Share of an image's masks that have a class at a pixel: float64 (B, K, pixels), of planes (B, N, K, words).

    planes: `class_planes` of the masks; weights, name: as of `mask_weights`.
    """
    shares = []
    for plane in planes.split(1, dim=2):
        if weights is None:  # filling has no bits
            together = max(1, _UNPACKED // (plane.shape[0] * math.prod(masks.size)))
            counted = sum(unpack_plane(some, masks).sum(1) for some in plane.split(together, dim=1))
            shares.append(counted / masks.counts.to(plane.device)[:, None].double())
        else:
            bits = unpack_plane(plane, masks)
            probabilities = mask_weights(masks, weights, name)
            shares.append(torch.einsum("bn,bnp->bp", probabilities, bits.double()) / probabilities.sum(1, keepdim=True))
    return torch.stack(shares, dim=1)


def unpack_plane(plane: Tensor, masks: MaskSet) -> Tensor:
    """One plane int32 (B, N, 1, words) of the masks to uint8 (B, N, pixels), 1 where a pixel has the class."""
    return unpack_labels(plane.contiguous(), math.prod(masks.size))


def _check_classes(name: str, masks: Masks, num_classes: int, ignore: Tensor | None, advice: str) -> None:
    if not isinstance(masks, PackedMasks):
        counted = masks if ignore is None else masks.masked_fill(ignore[:, None], 0)
        check_label_range(name, counted, num_classes, f"{advice}, or leave pixels out with ignore=")
    elif masks.num_planes != num_classes and (masks.num_planes, num_classes) != (1, 2):
        planes = "1 or 2" if num_classes == 2 else str(num_classes)
        raise ValueError(f"{name}: got PackedMasks of {masks.num_planes} planes, expected {planes}; {advice}")
