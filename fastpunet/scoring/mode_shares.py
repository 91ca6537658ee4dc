"""Which of an image's known segmentations its hypotheses are, and with what shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.metrics import pairwise_iou

SAME_MODE = 0.5  # a hypothesis belongs to the mode that it overlaps most, if by at least this IoU


def nearest_modes(samples: Tensor | PackedMasks, known: Tensor | PackedMasks) -> Tensor:
    """Of each hypothesis the known mask that it overlaps most, by an IoU of at least 0.5: int64 (B, n), 0 .. M.

    samples and known are binary masks (B, n, *size) and (B, M, *size), or PackedMasks. M stands for "near to none".

    >>> import torch
    >>> hypotheses = torch.tensor([[[[1, 1, 1]], [[0, 0, 0]], [[0, 0, 1]]]])
    >>> nearest_modes(hypotheses, known=torch.tensor([[[[0, 0, 0]], [[1, 1, 0]]]]))
    tensor([[1, 0, 2]])
    """
    best, mode = pairwise_iou(samples, known).max(-1)
    return mode.where(best >= SAME_MODE, known.shape[1])


def mode_shares(nearest: Tensor, modes: int, weights: Tensor | None = None) -> NDArray[np.float64]:
    """The share of an image's hypotheses that are nearest to each of its known masks, and last to none: (modes + 1,).

    nearest is a row of `nearest_modes`, weights float (n,) what each hypothesis counts; None: all count alike.

    >>> import torch
    >>> mode_shares(torch.tensor([1, 0, 2, 1]), modes=2)
    array([0.25, 0.5 , 0.25])
    """
    counts = np.bincount(nearest.cpu().numpy(), None if weights is None else weights.cpu().numpy(), modes + 1)
    return counts / counts.sum()
