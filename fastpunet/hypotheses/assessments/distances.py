"""How far one annotation lies from the hypotheses, compared with how far these lie from each other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.metrics import Convention
from fastpunet.metrics.mask_sets import read_mask_set
from fastpunet.metrics.pairs import class_ious

_MOST = 4096  # hypotheses that are compared with each other


class Distances(NamedTuple):
    """Of one annotation among n hypotheses, with d = 1 - IoU as the convention takes it.

    nearest     which hypothesis is nearest to the annotation
    iou         its IoU
    mean        the mean d of the annotation from all hypotheses
    typicality  of the hypotheses and the annotation together, the share whose mean d from the rest is at least the
                annotation's: (1 + those hypotheses) / (1 + n). If the annotation came from the model's distribution,
                it would be at most p with a probability of at most p (a conformal p-value, Vovk et al. 2005)
    """

    nearest: int
    iou: float
    mean: float
    typicality: float


class DistancesFrom:
    """The hypotheses of one image, PackedMasks (1, n, *size), to whom annotations are compared.

    Typicality takes at most the first 4096 hypotheses, because its cost grows with the square of their number.
    """

    def __init__(self, hypotheses: PackedMasks, convention: Convention) -> None:
        self._all, self._convention = hypotheses, convention
        self._own_sums: Tensor | None = None  # where every pixel counts

    def of(self, labels: Tensor, ignore: Tensor | None) -> Distances:
        """labels: uint8 (*size), 0 where ignored. ignore: bool (*size), True where a pixel does not count, or None."""
        left_out = None if ignore is None else ignore[None]
        classes = self._convention.num_classes if self._all.num_planes > 1 else None
        annotation = PackedMasks.pack(labels[None, None], classes)
        d = self._distances(self._all, annotation, left_out)[:, 0]
        some = min(_MOST, len(d))
        others = self._sums_within(some, left_out) + d[:some]  # of each hypothesis, from all others and the annotation
        farther = int((others >= d[:some].sum() - 1e-9).sum())
        nearest = int(d.argmin())
        return Distances(nearest, float(1 - d[nearest]), float(d.mean()), (1 + farther) / (1 + some))

    def _sums_within(self, some: int, ignore: Tensor | None) -> Tensor:
        if ignore is None and self._own_sums is not None:
            return self._own_sums
        compared = self._all[:, :some]
        sums = torch.cat(
            [
                self._distances(compared[:, first : first + 256], compared, ignore).sum(1)
                for first in range(0, some, 256)
            ]
        )
        if ignore is None:
            self._own_sums = sums
        return sums

    def _distances(self, a: PackedMasks, b: PackedMasks, ignore: Tensor | None) -> Tensor:
        """float64 (Na, Nb); pairs that have no IoU count as equal."""
        iou = class_ious(read_mask_set("hypotheses", a), read_mask_set("masks", b), self._convention, ignore)
        return 1 - iou[0].nanmean(-1).nan_to_num(nan=1.0)
