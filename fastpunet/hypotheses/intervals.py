"""Intervals of shares and of quantiles, from hypotheses that were drawn independently of each other."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

from torch import Tensor

from fastpunet.arguments import is_number
from fastpunet.optional import require


def check_level(name: str, level: object) -> None:
    """Raise ValueError unless the level of an interval is a share such as 0.95."""
    if not is_number(level) or not 0 < level < 1:  # type: ignore[operator]
        raise ValueError(f"{name}: got {level!r}, expected a share between 0 and 1, such as 0.95")


def wilson(count: Tensor, n: int, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """The ends of the interval of the probability of something that came about `count` times in n draws.

    count: of any shape; the ends are float64 of that shape. Wilson 1927, J. Am. Stat. Assoc. 22, 209.

    >>> import torch
    >>> low, high = wilson(torch.tensor([0, 37]), 100)
    >>> low, high
    (tensor([0.0000, 0.2818], dtype=torch.float64), tensor([0.0370, 0.4678], dtype=torch.float64))
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = count.double() / n
    centre = share + z**2 / (2 * n)
    half = z * (share * (1 - share) / n + z**2 / (4 * n**2)).sqrt()
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    # At the ends the formula is exact but for rounding.
    return low.clamp(min=0).masked_fill(count == 0, 0), high.clamp(max=1).masked_fill(count == n, 1)


@lru_cache(maxsize=1024)
def quantile_ranks(n: int, q: float, level: float = 0.95) -> tuple[int, int]:
    """Ranks, counted from 1, of two of n sorted draws that enclose the quantile q of any distribution.

    The probability that they do is at least the level; rank 0 stands for minus infinity, n + 1 for infinity. Conover
    1999, Practical Nonparametric Statistics, section 3.2.

    >>> quantile_ranks(1000, 0.5)
    (469, 532)
    """
    binom = require("scipy.stats", "an interval of a quantile").binom
    outside = (1 - level) / 2
    return int(binom.ppf(outside, n, q)), int(binom.ppf(1 - outside, n, q)) + 1
