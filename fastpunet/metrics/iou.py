"""Intersection over union of every pair of masks."""

from __future__ import annotations

from torch import Tensor

from fastpunet.late_checks import checking_last
from fastpunet.masks import PackedMasks
from fastpunet.metrics.conventions import check_empty
from fastpunet.metrics.mask_sets import Masks, check_ignore, check_same_images, read_mask_set
from fastpunet.metrics.planes import class_planes, count_classes
from fastpunet_kernels import mask_iou


@checking_last()
def pairwise_iou(
    a: Masks,
    b: Masks | None = None,
    *,
    num_classes: int | None = None,
    ignore: Tensor | None = None,
    empty: float = 1.0,
) -> Tensor:
    """The Jaccard index |a and b| / |a or b| of every mask of `a` with every mask of `b`, image by image.

    a, b         labels (B, Na, H, W) and (B, Nb, H, W), or with depth (B, Na, D, H, W), of bool, uint8 or signed
                 integer dtype, or `PackedMasks`; b=None compares `a` with itself
    num_classes  None: binary masks, labels 0 and 1, one IoU for each pair, that of the foreground.
                 K >= 2: labels 0 .. K - 1, one IoU for each pair and class.
                 PackedMasks of several planes know their classes: with None, K is their number of planes.
                 PackedMasks of one plane hold the foreground, and stand for K = 2 as well.
    ignore       bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label (255, say)
    empty        the IoU of two empty masks: 1.0, 0.0 or nan

    Returns float32 (B, Na, Nb), or (B, Na, Nb, K) per class: fractions from exact pixel counts, on the device of `a`.
    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> import torch
    >>> masks = torch.tensor([[[[1, 1, 0, 0]], [[1, 1, 1, 1]], [[0, 0, 0, 1]]]])  # one image, three masks
    >>> pairwise_iou(masks)
    tensor([[[1.0000, 0.5000, 0.0000],
             [0.5000, 1.0000, 0.2500],
             [0.0000, 0.2500, 1.0000]]])
    """
    sets = [read_mask_set("a", a, ragged=False)]
    if b is not None:
        sets.append(read_mask_set("b", b, ragged=False))
        check_same_images(sets[1], sets[0])
    check_ignore(ignore, sets[0])
    check_empty(empty)
    known = max((masks.num_planes for masks in (a, b) if isinstance(masks, PackedMasks)), default=1)
    if num_classes is None and known > 1:
        num_classes = known
    total = count_classes(num_classes)
    classes = (1,) if num_classes is None else range(total)
    planes = [class_planes(masks, total, classes, ignore) for masks in sets]
    iou = mask_iou(planes[0], planes[-1], empty)
    return iou.squeeze(-1) if num_classes is None else iou
