"""The energy score of hypotheses with a soft IoU: a score of the distribution that is evaluated, with gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet_kernels import fixed_precision


def energy_score(
    logits: Tensor, labels: Tensor, *, classes: Sequence[int], smoothing: float, ignore_label: int | None
) -> Tensor:
    """2 E d(S, Y) - E d(S, S') of each image, float32 (B,), unbiased: of pairs of different hypotheses S and S'.

    logits  (B, n, K, *size) of n >= 2 hypotheses S drawn alike; K = 1 means binary
    labels  int (B, G, *size), the segmentations Y of G graders
    d       1 - (I + s) / (U + s), on average over `classes`: I = sum p q and U = sum (p + q - p q) over the pixels are
            the soft intersection and union of probabilities or masks p and q, and s is the smoothing in pixels, above
            0. If both are empty, d is 0, as in the convention "kohl-lidc".

    A pixel that any grader left unannotated (ignore_label) does not count. Where all probabilities are 0 or 1, this is
    the energy distance but for E d(Y, Y'), which no model changes, and its mean over graders is lowest for hypotheses
    that are distributed as the graders' segmentations are (Gneiting and Raftery 2007, section 4.3).
    """
    n = logits.shape[1]
    with fixed_precision("ieee", logits.device):
        masks = torch.cat((_probabilities(logits.float(), classes), _indicators(labels, classes)), dim=1)
        if ignore_label is not None:
            masks = masks * (labels != ignore_label).all(1).flatten(1)[:, None, None]
        masks = masks.transpose(1, 2)  # (B, classes, n + G, P)
        shared = masks[:, :, :n] @ masks.mT  # (B, classes, n, n + G)
        area = masks.sum(-1)
        union = area[:, :, :n, None] + area[:, :, None] - shared
        d = (1 - (shared + smoothing) / (union + smoothing)).mean(1)
    within, cross = d.tensor_split([n], dim=2)
    different = within.sum((1, 2)) - within.diagonal(dim1=1, dim2=2).sum(1)
    return 2 * cross.mean((1, 2)) - different / (n * (n - 1))


def _probabilities(logits: Tensor, classes: Sequence[int]) -> Tensor:
    """Of each of the classes: (B, n, classes, P)."""
    flat = logits.flatten(3)
    return flat.sigmoid() if flat.shape[2] == 1 else flat.softmax(2)[:, :, list(classes)]


def _indicators(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Where a label is each of the classes: float32 (B, G, classes, P)."""
    wanted = torch.tensor(classes, device=labels.device)
    return (labels.flatten(2)[:, :, None] == wanted[:, None]).float()
