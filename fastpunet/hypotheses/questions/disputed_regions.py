"""Regions of an image in which the modes disagree in one way, and what each hypothesis says about them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fastpunet.optional import require


def disputed_regions(masks: Tensor) -> Tensor:
    """Number the connected regions in which modes differ in the same way, from 1 on; int64 (*size), 0 elsewhere.

    masks: labels (k, *size) of the modes' representatives. Pixels are connected along the axes.
    """
    label = require("scipy.ndimage", "finding regions", "report").label
    _, pattern = torch.unique(masks.flatten(1), dim=1, return_inverse=True)
    ways = pattern.reshape(masks.shape[1:]).cpu().numpy()
    agreed = (masks == masks[0]).all(0).cpu().numpy()
    regions, found = np.zeros(ways.shape, np.int64), 0
    for way in np.unique(ways[~agreed]):
        pieces, count = label(ways == way)
        regions = np.where(pieces > 0, pieces + found, regions)
        found += count
    return torch.from_numpy(regions).to(masks.device)


def majorities(labels: Tensor, regions: Tensor) -> Tensor:
    """The most frequent label of each hypothesis in each region, (n, regions) of the labels' dtype.

    labels: (n, *size); regions: as of `disputed_regions`. Of several labels the smallest counts: in binary masks a
    region is inside if more than half of it is.
    """
    places = regions.flatten().nonzero()[:, 0]
    number = regions.flatten()[places] - 1
    inside = labels.flatten(1)[:, places]
    most = torch.zeros(len(labels), int(regions.max()), device=labels.device)
    answers = torch.zeros_like(most, dtype=labels.dtype)
    for value in torch.unique(inside):
        count = torch.zeros_like(most).index_add_(1, number, (inside == value).float())
        answers = torch.where(count > most, value, answers)
        most = torch.maximum(most, count)
    return answers
