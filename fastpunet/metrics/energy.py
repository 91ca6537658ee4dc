"""The squared energy distance between a set of samples and a set (or distribution) of references."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.mask_sets import RaggedMasks, check_pair, mask_weights, read_mask_set
from fastpunet.metrics.planes import convention_planes
from fastpunet.metrics.tiled_sums import tiled_distance_sums
from fastpunet_kernels import area


@dataclass(frozen=True, eq=False)
class EnergyDistance:
    """One float64 entry an image, (B,), on the device of the masks; d = 1 - IoU is a fraction.

    value                2 cross - sample_diversity - reference_diversity: the V-statistic that the papers report
    unbiased             the U-statistic: pairs i = j left out of both diversities, so that its mean does not depend on
                         the number of samples or graders. NaN where fewer than two samples or two graders are left
    cross                E d(S, Y)
    sample_diversity     E d(S, S'), pairs i = j included
    reference_diversity  E d(Y, Y'), pairs i = j included
    """

    value: Tensor
    unbiased: Tensor
    cross: Tensor
    sample_diversity: Tensor
    reference_diversity: Tensor


ENERGY_DISTANCE_TERMS = tuple(field.name for field in fields(EnergyDistance))


def energy_distance(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    convention: str | Convention = "kohl-lidc",
    weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> EnergyDistance:
    """D^2 = 2 E d(S, Y) - E d(S, S') - E d(Y, Y') of each image; no root is taken. 0 is perfect.

    samples     labels (B, n, H, W) or (B, n, D, H, W) of bool, uint8 or signed integer dtype, `PackedMasks`, or, where
                the numbers of masks differ, a list with the label maps (n_i, H, W) or the PackedMasks of each image
    references  the graders' label maps, in any of the same forms
    convention  a preset's name or a `Convention`: the classes, and the IoU of two empty masks; see `convention`
    weights     float (M,) or (B, M): the references are the whole distribution and these their probabilities, as of the
                32 flipped modes of Cityscapes. `unbiased` then keeps the full reference term: it has no bias.
                None: graders of equal weight, drawn from a distribution
    ignore      bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label

    A pair of which the convention leaves no class (d is NaN) is left out of the means over pairs; NaN if none is left.

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
    s = convention_planes(sample_set, rule, ignore), mask_weights(sample_set, None)
    y = convention_planes(reference_set, rule, ignore), mask_weights(reference_set, weights)
    cross, _ = _means(s, y, rule.empty)
    within_s, different_s = _means(s, s, rule.empty)
    within_y, different_y = _means(y, y, rule.empty)
    if weights is not None:
        different_y = within_y
    value, unbiased = 2 * cross - within_s - within_y, 2 * cross - different_s - different_y
    return EnergyDistance(value, unbiased, cross, within_s, within_y)


def _means(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], empty: float) -> tuple[Tensor, Tensor]:
    """Mean distance (B,) over pairs of packed masks and their weights, and the same without pairs of equal index."""
    sums = tiled_distance_sums(a, b, empty)
    if a is not b:
        return sums[:, 0] / sums[:, 1], sums[:, 0] / sums[:, 1]
    itself = torch.where(area(a[0]) > 0, 1.0, empty)  # IoU of each mask and class with itself, (B, N, K)
    d = 1 - itself.double().nanmean(-1)
    pairs = a[1].square() * ~d.isnan()
    others = sums - torch.stack([(pairs * d.nan_to_num()).sum(1), pairs.sum(1)], dim=1)
    unbiased = torch.where(others[:, 1] > 0, others[:, 0] / others[:, 1], math.nan)  # no other pairs: rounding alone
    return sums[:, 0] / sums[:, 1], unbiased
