"""Intersection over union of every pair of masks."""

from __future__ import annotations

from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.metrics.checks import (
    Masks,
    check_empty,
    check_ignore,
    check_labels,
    check_masks,
    check_num_classes,
    check_same_frame,
)
from fastpunet.metrics.planes import class_words
from fastpunet_kernels import mask_iou


def pairwise_iou(
    a: Masks,
    b: Masks | None = None,
    *,
    num_classes: int | None = None,
    ignore: Tensor | None = None,
    empty: float = 1.0,
) -> Tensor:
    """The Jaccard index |a and b| / |a or b| of every mask of `a` with every mask of `b`, image by image.

    a, b         labels (B, Na, H, W) and (B, Nb, H, W) of bool, uint8 or signed integer dtype, or `PackedMasks`;
                 b=None compares `a` with itself
    num_classes  None: binary masks, labels 0 and 1, one IoU a pair, that of the foreground.
                 K >= 2: labels 0 .. K - 1, one IoU a pair and class.
                 PackedMasks of several planes know their classes: with None, K is their number of planes.
                 PackedMasks of one plane hold the foreground, and stand for K = 2 as well.
    ignore       bool (B, H, W), True where a pixel does not count, whatever its label (255, say)
    empty        the IoU of two empty masks: 1.0, 0.0 or nan

    Returns float32 (B, Na, Nb), or (B, Na, Nb, K) per class: fractions from exact pixel counts, on the device of `a`.
    Raises TypeError or ValueError, naming the argument, for input that is not as above.
    """
    check_masks("a", a)
    if b is not None:
        check_masks("b", b)
        check_same_frame("b", b, "a", a)
    check_ignore(ignore, "a", a)
    check_empty(empty)
    if num_classes is not None:
        check_num_classes(num_classes)
    classes = num_classes or _planes_known(a, b)
    words = _words("a", a, classes, ignore)
    iou = mask_iou(words, words if b is None else _words("b", b, classes, ignore), empty)
    return iou if classes else iou.squeeze(-1)


def _planes_known(*sets: Masks | None) -> int | None:
    """The number of classes that packed masks of several planes carry with them."""
    planes = max((masks.num_planes for masks in sets if isinstance(masks, PackedMasks)), default=1)
    return planes if planes > 1 else None


def _words(name: str, masks: Masks, num_classes: int | None, ignore: Tensor | None) -> Tensor:
    check_labels(name, masks, num_classes or 2, ignore, "pass num_classes=K for labels of K classes")
    return class_words(masks, num_classes or 2, range(num_classes) if num_classes else (1,), ignore)
