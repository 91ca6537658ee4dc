"""The squared energy distance between a set of samples and a set (or distribution) of references."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fastpunet.arguments import check_count
from fastpunet.late_checks import checking_last
from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.mask_sets import MaskSet, RaggedMasks, check_pair, mask_weights, read_mask_set
from fastpunet.metrics.pairs import class_ious, dice_of
from fastpunet.metrics.planes import convention_planes
from fastpunet.metrics.random_pairs import mean_of_random_pairs
from fastpunet.metrics.tiled_sums import tiled_distance_sums
from fastpunet_kernels import area


@dataclass(frozen=True, eq=False)
class EnergyDistance:
    """One float64 entry for each image, (B,), on the device of the masks, for d = 1 - IoU or 1 - Dice.

    value                2 cross - sample_diversity - reference_diversity: the V-statistic that the papers report
    unbiased             the U-statistic: pairs i = j left out of both diversities, so that its mean does not depend on
                         the number of samples or graders. NaN where fewer than two samples or two graders are left
    cross                E d(S, Y)
    sample_diversity     E d(S, S'), pairs i = j included
    reference_diversity  E d(Y, Y'), pairs i = j included
    different_samples    E d(S, S'), pairs i = j left out; NaN for a single sample; all pairs if samples have weights
    same_sample          E d(S, S) of a mask with itself: 0, unless two empty masks have another d in the convention
    margin               0: the other fields are exact, but for rounding. Else `value`, `unbiased` and both terms of
                         pairs of samples differ from the exact ones by at most this, with a probability of 1 - 1e-6
    """

    value: Tensor
    unbiased: Tensor
    cross: Tensor
    sample_diversity: Tensor
    reference_diversity: Tensor
    different_samples: Tensor
    same_sample: Tensor
    margin: Tensor

    def expected(self, n: int) -> Tensor:
        """The V-statistic of n of these N samples, on average over all that could be chosen, float64 (B,).

        2 E d(S, Y) - (1 - 1/n) E d(S, S' of another index) - E d(S, S) / n - E d(Y, Y'). For n = N it is `value`; for a
        smaller n it has far less noise than the V of the first n samples, and the same mean. NaN for n > 1 if N is 1. A
        convention that leaves pairs out makes V a ratio of means, of which this is the ratio of expectations.

        >>> samples = torch.tensor([[[[1, 1, 0, 0]], [[1, 1, 1, 1]]]])  # d = 0 and 1/2 from the graders
        >>> score = energy_distance(samples, samples[:, :1])
        >>> score.expected(1).item(), score.expected(2).item() == score.value.item()
        (0.5, True)
        """
        n = check_count("n", n)
        alike = self.different_samples * (1 - 1 / n) if n > 1 else 0.0
        return 2 * self.cross - alike - self.same_sample / n - self.reference_diversity


ENERGY_DISTANCE_TERMS = ("value", "unbiased", "cross", "sample_diversity", "reference_diversity")


@checking_last()
def energy_distance(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    convention: str | Convention = "kohl-lidc",
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
    pairs: int | None = None,
) -> EnergyDistance:
    """D^2 = 2 E d(S, Y) - E d(S, S') - E d(Y, Y') of each image; no root is taken. 0 is perfect.

    samples     labels (B, n, H, W) or (B, n, D, H, W) of bool, uint8 or signed integer dtype, `PackedMasks`, or, where
                the numbers of masks differ, a list with the label maps (n_i, H, W) or the PackedMasks of each image
    references  the graders' label maps, in any of the same forms
    convention  a preset's name or a `Convention`: the classes, and the IoU of two empty masks; see `convention`
    weights     float (M,) or (B, M): probabilities of the references, if these are the whole distribution, such as the
                32 flipped modes of Cityscapes. `unbiased` then keeps the full reference term: it has no bias.
                None: graders of equal weight, drawn from a distribution
    sample_weights  float (n,) or (B, n): probabilities of the samples, if these are the whole distribution, such as a
                mixture's experts (Gao et al. 2023, arXiv 2212.07328); `unbiased` then keeps the full sample term
    ignore      bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label
    pairs       None: every pair of samples is compared, and the result is exact. A number: E d(S, S') is the mean over
                this number of random pairs of samples, and the result has a `margin`. It shrinks with the root of that
                number: at most 0.003 with 10^6 pairs, and 0.002 if the standard deviation of d is below 0.35. Exact all
                the same where there are no more pairs, and for sample weights, numbers of samples that differ, 1 -
                Dice, and conventions that leave classes out

    A pair in which the convention leaves out every class has no distance (d is NaN). It is left out of the means over
    pairs, or makes them NaN if the convention is strict. A mean over no pair is NaN.

    Source: Kohl et al. 2018, arXiv 1806.05034, section 4; Szekely and Rizzo 2013 for V- and U-statistics.
    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> samples = torch.tensor([[[[1, 1, 0, 0]], [[1, 1, 1, 1]]]])  # one image, two samples, d = 1/2
    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[1, 1, 0, 0]]]])
    >>> score = energy_distance(samples, graders)
    >>> score.cross.item(), score.sample_diversity.item(), score.value.item()
    (0.25, 0.25, 0.25)
    """
    rule = find_convention(convention)
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    check_pair(sample_set, reference_set, ignore)
    s = convention_planes(sample_set, rule, ignore), mask_weights(sample_set, sample_weights, "sample_weights")
    y = convention_planes(reference_set, rule, ignore), mask_weights(reference_set, weights)
    if pairs is not None:
        pairs = check_count("pairs", pairs, least=2)
    exact = torch.zeros(sample_set.images, dtype=torch.float64, device=sample_set.device)
    if math.isnan(rule.false_alarm):
        cross = _cross_without_lacking(sample_set, reference_set, rule, ignore, s[1], y[1])
        unknown = torch.full_like(cross, math.nan)
        return EnergyDistance(unknown, unknown, cross, unknown, unknown, unknown, unknown, exact)
    cross = _mean(tiled_distance_sums(s, y, rule.empty, rule.overlap), s[1].sum(1) * y[1].sum(1), rule)
    if pairs is not None and sample_weights is None and _can_choose(sample_set, rule, pairs):
        within_s, different_s, same_s, margin = _estimate(s[0], rule, pairs)
    else:
        (within_s, different_s, same_s), margin = _diversities(s, rule), exact
    within_y, different_y, _ = _diversities(y, rule)
    different_s = different_s if sample_weights is None else within_s
    different_y = different_y if weights is None else within_y
    value, unbiased = 2 * cross - within_s - within_y, 2 * cross - different_s - different_y
    return EnergyDistance(value, unbiased, cross, within_s, within_y, different_s, same_s, margin)


def _can_choose(samples: MaskSet, rule: Convention, pairs: int) -> bool:
    """Whether the mean over random pairs is one of independent numbers in [0, 1], and fewer than all pairs."""
    all_pairs = samples.longest * (samples.longest - 1) // 2
    return pairs < all_pairs and not samples.ragged and rule.overlap == "iou" and not math.isnan(rule.empty)


def _estimate(masks: Tensor, rule: Convention, pairs: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`_diversities` of masks of equal weight, from random pairs, and the margin."""
    share = 1 / masks.shape[1]
    itself = torch.where(area(masks) > 0, 1.0, rule.empty).double()
    equal = 1 - itself.mean((1, 2))
    different, margin = mean_of_random_pairs(masks, pairs, rule.empty)
    return (1 - share) * different + share * equal, different, equal, margin


def _diversities(masks: tuple[Tensor, Tensor], rule: Convention) -> tuple[Tensor, Tensor, Tensor]:
    """Mean distances (B,) over all pairs of packed masks and their weights, over the pairs of different index, and over
    those of equal index."""
    sums, weights = tiled_distance_sums(masks, masks, rule.empty, rule.overlap), masks[1]
    total, squares = weights.sum(1), weights.square()
    every, same = total.square(), squares.sum(1)
    if rule.empty == 1:  # then every mask is like itself
        others = sums - torch.stack([torch.zeros_like(same), same], dim=1)
        equal = torch.zeros_like(same)
    else:
        itself = torch.where(area(masks[0]) > 0, 1.0, rule.empty)  # overlap of each mask and class with itself
        d = 1 - itself.double().nanmean(-1)  # (B, N)
        both = torch.stack([d.nan_to_num(), (~d.isnan()).double()], dim=-1)  # (B, N, 2)
        others = sums - (squares[..., None] * both).sum(1)
        equal = _mean((weights[..., None] * both).sum(1), total, rule)
    different = torch.where(others[:, 1] > 0, _mean(others, every - same, rule), math.nan)  # none: rounding alone
    return _mean(sums, every, rule), different, equal


def _mean(sums: Tensor, every: Tensor, rule: Convention) -> Tensor:
    """The mean (B,) of distances whose sum and weight are `sums` (B, 2); every: the weight of pairs known or not."""
    mean = sums[:, 0] / sums[:, 1]
    return mean.masked_fill(sums[:, 1] < every * (1 - 1e-9), math.nan) if rule.strict else mean


def _cross_without_lacking(
    samples: MaskSet, references: MaskSet, rule: Convention, ignore: Tensor | None, p: Tensor, q: Tensor
) -> Tensor:
    """E d(S, Y), (B,), without classes that the reference lacks."""
    iou = class_ious(samples, references, rule, ignore)
    d = 1 - (dice_of(iou) if rule.overlap == "dice" else iou).nanmean(-1)
    weights = p[:, :, None] * q[:, None] * ~d.isnan()
    sums = torch.stack([(weights * d.nan_to_num()).sum((1, 2)), weights.sum((1, 2))], dim=1)
    return _mean(sums, p.sum(1) * q.sum(1), rule)
