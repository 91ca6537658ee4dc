"""The collective insight score: sensitivity of unions, best Dice and agreement of diversity."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fastpunet.arguments import check_choice
from fastpunet.metrics.best_overlap import best_dice
from fastpunet.metrics.mask_sets import MaskSet, RaggedMasks, check_pair, read_mask_set
from fastpunet.metrics.planes import BINARY_ONLY, class_planes, class_shares
from fastpunet_kernels import area, pairwise_intersection

READINGS = ("difference", "variances")


@dataclass(frozen=True, eq=False)
class CollectiveInsight:
    """One float64 entry for each image, (B,); 1 is perfect.

    value        3 S D A / (S + D + A), NaN where a part is. The paper calls it a harmonic mean, which it is not
    sensitivity  S: of the pixels that any grader marked, the share that any hypothesis marked; 1 if neither marks any,
                 NaN if only hypotheses do
    best_dice    D: as `best_dice`, two empty masks 1
    agreement    A: 1 less the mean of two differences between hypotheses and graders: of the least and of the largest
                 variance of any pair. NaN for a single hypothesis or a single grader
    """

    value: Tensor
    sensitivity: Tensor
    best_dice: Tensor
    agreement: Tensor


INSIGHT_TERMS = tuple(field.name for field in fields(CollectiveInsight))


def collective_insight(
    samples: RaggedMasks, references: RaggedMasks, *, variance: str = "difference", ignore: Tensor | None = None
) -> CollectiveInsight:
    """The CI score of binary masks.

    samples, references  labels (B, n, H, W) or (B, n, D, H, W), `PackedMasks`, or a list with the masks of each image
    variance             what the paper's "variance of a pair" is read as: "difference", the variance over pixels of the
                         difference of the two masks; or "variances", the difference of the variances of the two masks.
                         Re-implementations do either; their values are not comparable
    ignore               bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label

    Source: Rahman et al. 2023, arXiv 2304.04745, section 4.2.
    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> masks = torch.tensor([[[[1, 1, 0, 0]], [[1, 0, 0, 0]]]])
    >>> collective_insight(masks, masks).value
    tensor([1.], dtype=torch.float64)
    """
    check_choice("variance", variance, READINGS)
    s, y = read_mask_set("samples", samples), read_mask_set("references", references)
    check_pair(s, y, ignore)
    planes = [class_planes(masks, 2, (1,), ignore, BINARY_ONLY) for masks in (s, y)]
    predicted, marked = (class_shares(of, masks)[:, 0] > 0 for of, masks in zip(planes, (s, y), strict=True))
    found, wanted = (predicted & marked).sum(1).double(), marked.sum(1)
    sensitivity = torch.where(wanted > 0, found / wanted, torch.where(predicted.any(1), math.nan, 1.0))
    pixels = torch.full_like(found, math.prod(s.size)) if ignore is None else (~ignore).flatten(1).sum(1).double()
    extremes = [_extremes(of, masks, pixels, variance) for of, masks in zip(planes, (s, y), strict=True)]
    agreement = 1 - (extremes[0] - extremes[1]).abs().mean(0)
    dice = best_dice(samples, references, ignore=ignore)
    value = 3 * sensitivity * dice * agreement / (sensitivity + dice + agreement)
    return CollectiveInsight(value, sensitivity, dice, agreement)


def _extremes(planes: Tensor, masks: MaskSet, pixels: Tensor, variance: str) -> Tensor:
    """The least and the largest variance of any pair of masks, float64 (2, B); NaN where there is no pair."""
    one_by_one = zip(planes.split(1), masks.counts.tolist(), pixels, strict=True)  # pairs of one image fit in caches
    return torch.stack([_extremes_of_one(plane[:, :count], total, variance) for plane, count, total in one_by_one], 1)


def _extremes_of_one(planes: Tensor, total: Tensor, variance: str) -> Tensor:
    count = planes.shape[1]
    if count < 2:
        return torch.full((2,), math.nan, dtype=torch.float64, device=planes.device)
    size = area(planes)[0, :, 0].double() / total
    a, b = size[:, None], size[None]
    if variance == "difference":
        of_pairs = a + b - 2 * pairwise_intersection(planes, planes)[0, ..., 0] / total - (a - b).square()
    else:
        of_pairs = (a * (1 - a) - b * (1 - b)).abs()
    least = of_pairs.clone().fill_diagonal_(math.inf).amin()
    return torch.stack((least, of_pairs.fill_diagonal_(-math.inf).amax()))
