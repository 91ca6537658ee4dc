"""How well the best hypothesis fits each grader."""

from __future__ import annotations

from torch import Tensor

from fastpunet.metrics.checks import Masks
from fastpunet.metrics.conventions import Convention
from fastpunet.metrics.pairs import class_ious


def best_iou(
    samples: Masks, references: Masks, *, convention: str | Convention = "kohl-lidc", ignore: Tensor | None = None
) -> Tensor:
    """The IoU of each grader with the hypothesis that fits it best, averaged over graders: float64 (B,), 1 is perfect.

    samples, references, convention and ignore as of `energy_distance`; the IoU of a pair is the mean over the
    convention's classes. It grows with the number of hypotheses: compare at equal n only. NaN where no pair has an IoU.
    Source: "maximum Dice matching" of Rahman et al. 2023, arXiv 2304.04745, section 4.2, with IoU.
    """
    return _best(class_ious(samples, references, convention, ignore))


def best_dice(
    samples: Masks, references: Masks, *, convention: str | Convention = "kohl-lidc", ignore: Tensor | None = None
) -> Tensor:
    """As `best_iou`, with the Dice coefficient 2 IoU / (1 + IoU) of each class in the IoU's place."""
    iou = class_ious(samples, references, convention, ignore)
    return _best(2 * iou / (1 + iou))


def _best(overlap: Tensor) -> Tensor:
    """Overlap (B, n, M, classes) to (B,)."""
    of_pairs = overlap.nanmean(-1)
    best = of_pairs.nan_to_num(nan=-1.0).amax(1)
    return best.where(best >= 0, of_pairs.new_tensor(float("nan"))).nanmean(1)
