"""How far apart two distributions over the same modes are."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.arguments import check_count, check_probabilities


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """max |p(A) - q(A)| over sets of modes A, which is half the sum of |p - q|: float64 (...), 0 to 1.

    p, q: float (..., M), the probabilities of M modes; axes before the last are broadcast. Raises TypeError or
    ValueError, naming the argument, for values that are no probabilities and for other numbers of modes.

    >>> total_variation(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.25, 0.5]))
    tensor(0.5000, dtype=torch.float64)
    """
    check_probabilities("p", p)
    check_probabilities("q", q)
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(f"q: got {q.shape[-1]} modes, expected {p.shape[-1]} as in p; list the same modes in both")
    return (p.double() - q.double()).abs().sum(-1) / 2


def total_variation_of_draws(probabilities: Tensor, n: int) -> Tensor:
    """Expected total variation between a distribution and the frequencies of n independent draws from it.

    probabilities: float (..., M), of M modes; returns float64 (...). It is what a perfect sampler scores, and falls as
    1 / sqrt(n). Exact: half the sum of the binomial mean deviations E|X - np| = 2 (m + 1) C(n, m + 1) p^(m + 1)
    (1 - p)^(n - m), m = floor(np), over n (de Moivre; Diaconis and Zabell 1991). Raises TypeError or ValueError, naming
    the argument, for values that are no probabilities and for n < 1.

    >>> total_variation_of_draws(torch.tensor([0.5, 0.5]), 1)
    tensor(0.5000, dtype=torch.float64)
    """
    n = check_count("n", n)
    p = check_probabilities("probabilities", probabilities).double()
    above = ((n * p).floor() + 1).clamp(max=n)  # m + 1; the deviation is 0 for p = 1, where m = n
    choices = torch.lgamma(torch.tensor(n + 1.0, dtype=torch.float64, device=p.device))
    choices = choices - torch.lgamma(above + 1) - torch.lgamma(n - above + 1)
    terms = above.log() + choices + torch.xlogy(above, p) + torch.xlogy(n - above + 1, 1 - p)
    return terms.exp().sum(-1) / n
