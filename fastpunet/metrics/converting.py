"""Energy distances from one paper's convention to another's: V and U, resampled graders, empty masks.

All are linear in the distances, so they hold for a single image and for means over images of equal n and m. Numbers
are floats or float tensors. What they need beside the published value is what every paper should state with it.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from fastpunet.arguments import check_count

Number = TypeVar("Number", float, Tensor)


def different_pairs(diversity: Number, n: int) -> Number:
    """The mean distance of two different masks, from the mean over all n^2 pairs, equal ones included.

    >>> different_pairs(0.399, 4)  # graders of a set with four each
    0.532
    """
    n = check_count("n", n, least=2, advice="a single mask has no other")
    return diversity * (n / (n - 1))


def u_from_v(value: Number, n: int, between_samples: Number, m: int | None, between_graders: Number) -> Number:
    """The U-statistic, which does not depend on n and m, from the V-statistic that papers report.

    U = V - a / n - b / m, because V counts the distance 0 of each mask to itself as one of n^2 and of m^2.

    value            V, 2 E d(S, Y) - E d(S, S') - E d(Y, Y'), equal pairs included in both diversities
    n, m             the numbers of hypotheses and of graders; m=None: the exact distribution, b does not matter
    between_samples  a, the mean distance of two different hypotheses; see `different_pairs`
    between_graders  b, the mean distance of two different graders

    Source: Szekely and Rizzo 2013. Raises TypeError or ValueError for an n or m that is no number of masks.

    >>> round(u_from_v(0.260, 16, 0.59, 4, 0.53), 4)
    0.0906
    """
    return value - between_samples / check_count("n", n) - _own(between_graders, m)


def v_from_u(value: Number, n: int, between_samples: Number, m: int | None, between_graders: Number) -> Number:
    """The V-statistic of n hypotheses and m graders, from the U-statistic; the reverse of `u_from_v`.

    >>> round(v_from_u(0.0, 16, 0.53, 4, 0.53), 4)  # of a perfect model
    0.1656
    """
    return value + between_samples / check_count("n", n) + _own(between_graders, m)


def v_at(value: Number, n: int, to: int, between_samples: Number) -> Number:
    """The expected V-statistic of `to` hypotheses, from that of n of the same model.

    >>> round(v_at(0.260, 16, 100, 0.59), 4)
    0.229
    """
    return value + between_samples * (1 / check_count("to", to) - 1 / check_count("n", n))


def v_of_resampled_graders(value: Number, draws: int, reference_diversity: Number) -> Number:
    """The expected V-statistic if the references are `draws` masks drawn from the graders with replacement (Czolbe et
    al. 2021), from that with the graders themselves.

    Two of the draws differ as two graders drawn independently do, and each of them is at distance 0 from itself: the
    reference term E d(Y, Y'), equal pairs included, becomes smaller by its part 1 / draws.

    >>> round(v_of_resampled_graders(0.260, 16, 0.399), 4)
    0.2849
    """
    return value + reference_diversity / check_count("draws", draws)


def v_of_different_empties(value: Number, empty_samples: Number, empty_graders: Number) -> Number:
    """The V-statistic if two empty binary masks have d = 1 ("d-persona"), from that where they have d = 0.

    It is smaller by (p - q)^2, where p and q are the shares of hypotheses and graders of an image that are empty: of
    E d(S, Y), E d(S, S') and E d(Y, Y') the first gains p q and the others p^2 and q^2. This is not linear in p and q:
    convert image by image, before the mean.

    >>> v_of_different_empties(0.25, 0.5, 0.0)
    0.0
    """
    return value - (empty_samples - empty_graders) ** 2


def v_without_empty_pairs(
    cross: Number, sample_diversity: Number, reference_diversity: Number, empty_samples: Number, empty_graders: Number
) -> Number:
    """The V-statistic without pairs of two empty binary masks (empty=nan), from the terms where they have d = 0.

    Image by image. NaN, or for floats ZeroDivisionError, where all hypotheses or all graders of an image are empty.

    >>> round(v_without_empty_pairs(0.5, 0.25, 0.25, 0.5, 0.5), 4)
    0.6667
    """
    among = sample_diversity / (1 - empty_samples**2) + reference_diversity / (1 - empty_graders**2)
    return 2 * cross / (1 - empty_samples * empty_graders) - among


def _own(between: Number, m: int | None) -> Number:
    return between * 0 if m is None else between / check_count("m", m)
