"""Overlap after an optimal matching of hypotheses and graders."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.arguments import check_switch
from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.mask_sets import RaggedMasks, mask_weights, read_mask_set
from fastpunet.metrics.pairs import class_ious, dice_of
from fastpunet.metrics.transport import best_transport
from fastpunet.optional import require

Array = NDArray[np.float64]


def matched_iou(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    repeat: bool = True,
    convention: str | Convention = "kohl-lidc",
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """Hungarian-matched IoU, float64 (B,): mean IoU under the best matching of hypotheses and graders. 1 is perfect.

    repeat          True: every hypothesis and every grader counts as often as every other. Papers repeat both sets to
                    the least common multiple of their sizes and match one to one; this is optimal transport, which
                    needs no repetition and is computed as such, in about n M^2 steps, for any n and M.
                    False: one to one without repetition. The smaller set is matched whole, and what is left over of the
                    larger one does not count, so that many hypotheses help
    weights, sample_weights  probabilities of the graders (M,) or (B, M) and of the hypotheses (n,) or (B, n), which the
                    transport keeps to; only with repeat=True. None: all alike

    The other arguments are as of `energy_distance`. A pair of which the convention leaves no class counts as 1: the two
    agree that none of its classes is there. Graders without a class under a convention of false_alarm=nan are left out;
    NaN if none is left. repeat=False needs SciPy.

    Source: Kohl et al. 2019, arXiv 1905.13077, section 4; the repetition is that of Zbinden et al. 2023 (CCDM), arXiv
    2303.08888; the transport by probabilities that of Gao et al. 2023 (MoSE), arXiv 2212.07328; without repetition it
    is Flow-SSN's. Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> samples = torch.tensor([[[[1, 1, 1, 1]], [[1, 1, 0, 0]]]])
    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[0, 0, 1, 1]]]])
    >>> matched_iou(samples, graders)  # the first sample goes to the second grader: (1/2 + 1) / 2
    tensor([0.7500], dtype=torch.float64)
    >>> matched_iou(samples, graders[:, :1]), matched_iou(samples, graders[:, :1], repeat=False)
    (tensor([0.7500], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    """
    return _matched(samples, references, repeat, convention, weights, sample_weights, ignore, dice=False)


def matched_dice(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    repeat: bool = True,
    convention: str | Convention = "kohl-lidc",
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """As `matched_iou`, with the Dice coefficient 2 IoU / (1 + IoU) of each class in the place of its IoU.

    With repeat=False it is the D_match of Wu et al. 2024 (D-Persona).

    >>> samples = torch.tensor([[[[1, 1, 1, 1]], [[1, 1, 0, 0]]]])
    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[0, 0, 1, 1]]]])
    >>> matched_dice(samples, graders, repeat=False)  # (1 + 2/3) / 2
    tensor([0.8333], dtype=torch.float64)
    """
    return _matched(samples, references, repeat, convention, weights, sample_weights, ignore, dice=True)


def _matched(
    samples: RaggedMasks,
    references: RaggedMasks,
    repeat: bool,
    convention: str | Convention,
    weights: Tensor | None,
    sample_weights: Tensor | None,
    ignore: Tensor | None,
    dice: bool,
) -> Tensor:
    check_switch("repeat", repeat)
    for name, given in (("weights", weights), ("sample_weights", sample_weights)):
        if given is not None and not repeat:
            raise ValueError(
                f"{name}: got weights with repeat=False, expected None, because it matches whole masks; leave them out"
            )
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    iou = class_ious(sample_set, reference_set, convention, ignore)
    overlap = (dice_of(iou) if dice else iou).nanmean(-1)
    lacking = overlap.isnan().all(1) & math.isnan(find_convention(convention).false_alarm)  # (B, M)
    p, q = mask_weights(sample_set, sample_weights, "sample_weights"), mask_weights(reference_set, weights)
    q = torch.where(lacking, 0.0, q)
    means = []
    for worth, rows, columns in zip(*(part.cpu().numpy() for part in (overlap, p, q)), strict=True):
        kept = np.nan_to_num(worth[rows > 0][:, columns > 0], nan=1.0)
        means.append(_mean_worth(kept, rows[rows > 0], columns[columns > 0], repeat))
    return torch.tensor(means, dtype=torch.float64, device=iou.device)


def _mean_worth(worth: Array, rows: Array, columns: Array, repeat: bool) -> float:
    if not worth.size:
        return math.nan
    if repeat:
        return best_transport(worth, rows / rows.sum(), columns / columns.sum())
    optimize = require("scipy.optimize", "matching masks", "report")
    return float(worth[optimize.linear_sum_assignment(worth, maximize=True)].mean())
