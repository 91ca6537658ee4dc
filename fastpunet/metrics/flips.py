"""How often hypotheses flip a class (Kohl et al. 2018, section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def flip_frequencies(samples: Tensor, labels: Tensor, twins: Mapping[int, int]) -> Tensor:
    """Share of each image's hypotheses in which a class is flipped, float64 (B, len(twins)).

    samples: label maps uint8 (B, n, H, W); labels uint8 (B, H, W), the unflipped truth; twins: class to the class that
    it turns into. A hypothesis flips a class if, over the pixels that truly have it, the twin is predicted more often
    than the class. Where both are as frequent, as where neither is predicted, it does not say, and is left out; an
    image that lacks the class, or of which no hypothesis says, has NaN. No tie is broken towards "unflipped".
    """
    if samples.dim() != 4 or labels.dim() != 3 or samples.shape[:1] + samples.shape[2:] != labels.shape:
        raise ValueError(
            f"samples, labels: got {tuple(samples.shape)} and {tuple(labels.shape)}, "
            "expected (B, n, H, W) and (B, H, W)"
        )
    columns = []
    for label, twin in twins.items():
        where = labels[:, None] == label
        lead = ((samples == twin) & where).sum((2, 3)) - ((samples == label) & where).sum((2, 3))
        columns.append((lead > 0).sum(1).double() / (lead != 0).sum(1))
    return torch.stack(columns, dim=1)
