"""What the answer to a question says about the mode, from counts of hypotheses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TOGETHER = 1 << 22  # labels that are compared with answers at a time, which takes 32 MiB


def entropy(counts: Tensor, axes: int | tuple[int, ...]) -> Tensor:
    """Entropy in bits of the shares that counts have along the axes; 0 where all of them are 0."""
    shares = counts.double() / counts.sum(axes, keepdim=True).clamp(min=1)
    return torch.special.entr(shares).sum(axes) / math.log(2)


def information(counts: Tensor) -> Tensor:
    """Mutual information in bits of answers and modes, float64 (...), of joint counts (answers, k, ...).

    I(A; M) = H(A) + H(M) - H(A, M) (Cover and Thomas 2006, Elements of Information Theory, equation 2.45).

    >>> information(torch.tensor([[2, 0], [0, 2]])), information(torch.tensor([[1, 1], [1, 1]]))
    (tensor(1., dtype=torch.float64), tensor(0., dtype=torch.float64))
    """
    return (entropy(counts.sum(1), 0) + entropy(counts.sum(0), 0) - entropy(counts, (0, 1))).clamp(min=0)


def joint_counts(answers: Tensor, values: Tensor, members: Tensor, k: int) -> Tensor:
    """How many hypotheses of each mode give each answer: int64 (len(values), k, questions).

    answers: (n, questions) of whole numbers; values: the answers there are; members: int64 (n,), the mode of each
    hypothesis.
    """
    n, questions = answers.shape
    together = max(1, _TOGETHER // (n * len(values)))
    parts = []
    for some in answers.split(together, dim=1):
        same = (some == values[:, None, None]).long()
        counts = same.new_zeros(len(values), k, some.shape[1])
        parts.append(counts.index_add_(1, members, same))
    return torch.cat(parts, dim=2) if questions else answers.new_zeros((len(values), k, 0), dtype=torch.int64)
