"""The joint distribution of flips: which classes hypotheses flip together (Kohl et al. 2018, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet.arguments import is_number
from fastpunet.metrics.flip_counts import FlipCounts


def flip_mode_frequencies(counts: FlipCounts, probabilities: Sequence[float]) -> Tensor:
    """Share of each image's n hypotheses in each mode, float64 (B, 2^k); in mode m class i is flipped if bit i is set.

    probabilities: of flipping each of the k classes, independently of the others. A hypothesis that is undecided about
    a class (see `FlipCounts`) counts half for either mode. No hypothesis can decide about a class that the image lacks;
    it is then divided as in the exact distribution, so that a distance to that distribution compares only the classes
    that are present.

    Raises TypeError or ValueError for probabilities that are not k numbers of 0 to 1.

    >>> one = torch.ones(1, 2, 1, dtype=torch.int64)  # an image, two hypotheses, one class
    >>> counts = FlipCounts(kept=one * torch.tensor([[[3], [0]]]), flipped=one, pixels=torch.tensor([[3]]))
    >>> flip_mode_frequencies(counts, [0.4])
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    k = counts.present.shape[1]
    if not isinstance(probabilities, Sequence):
        raise TypeError(f"probabilities: got {type(probabilities).__name__}, expected a list of {k} numbers of 0 to 1")
    if len(probabilities) != k:
        raise ValueError(f"probabilities: got {len(probabilities)}, expected {k}, one for each class counted; add them")
    for probability in probabilities:
        if not is_number(probability) or not 0 <= probability <= 1:
            raise ValueError(f"probabilities: got {probability!r}, expected a number of 0 to 1 for each class")
    exact = torch.tensor(probabilities, dtype=torch.float64, device=counts.present.device)
    chances = torch.where(counts.present[:, None], counts.decisions.nan_to_num(0.5), exact)  # of a flip, (B, n, k)
    places = torch.arange(k, device=exact.device)
    flipped = torch.arange(2**k, device=exact.device)[:, None] >> places & 1  # (2^k, k)
    shares = torch.where(flipped.bool(), chances[:, :, None], 1 - chances[:, :, None]).prod(-1)
    return shares.mean(1)
