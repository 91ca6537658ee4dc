"""How far apart two distributions over the same modes are."""

from __future__ import annotations

import torch
from torch import Tensor


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """max |p(A) - q(A)| over sets of modes A, half the sum of |p - q|: probabilities (…, M) to float64 (…), 0 to 1."""
    return (p.double() - q.double()).abs().sum(-1) / 2


def total_variation_of_draws(probabilities: Tensor, n: int) -> Tensor:
    """Expected total variation between a distribution and the frequencies of n independent draws from it.

    probabilities (…, M) to float64 (…): what a perfect sampler scores, which falls as 1 / sqrt(n). Exact: half the sum
    of the binomial mean deviations E|X - np| = 2 (m + 1) C(n, m + 1) p^(m + 1) (1 - p)^(n - m), m = floor(np), over n
    (de Moivre; Diaconis and Zabell 1991).
    """
    if n < 1:
        raise ValueError(f"n: got {n}, expected at least 1 draw")
    p = probabilities.double()
    above = ((n * p).floor() + 1).clamp(max=n)  # m + 1; the deviation is 0 for p = 1, where m = n
    choices = torch.lgamma(torch.tensor(n + 1.0, dtype=torch.float64, device=p.device))
    choices = choices - torch.lgamma(above + 1) - torch.lgamma(n - above + 1)
    terms = above.log() + choices + torch.xlogy(above, p) + torch.xlogy(n - above + 1, 1 - p)
    return terms.exp().sum(-1) / n
