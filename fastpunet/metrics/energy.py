"""The squared energy distance between a set of samples and a set (or distribution) of references."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fastpunet.metrics.checks import (
    Masks,
    check_device,
    check_ignore,
    check_label_tensor,
    check_masks,
    check_same_frame,
    check_weights,
    device_of,
)
from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.planes import convention_words
from fastpunet_kernels import area, distance_sums


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


def energy_distance(
    samples: Masks | list[Tensor] | tuple[Tensor, ...],
    references: Masks | list[Tensor] | tuple[Tensor, ...],
    *,
    convention: str | Convention = "kohl-lidc",
    weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> EnergyDistance:
    """D^2 = 2 E d(S, Y) - E d(S, S') - E d(Y, Y') of each image; no root is taken. 0 is perfect.

    samples     labels (B, n, H, W) of bool, uint8 or signed integer dtype, `PackedMasks`, or, where the numbers of
                masks differ, a list of B label tensors (n_i, H, W)
    references  the graders' label maps, in any of the same forms
    convention  a preset's name or a `Convention`: the classes, and the IoU of two empty masks; see `convention`
    weights     float (M,) or (B, M): the references are the whole distribution and these their probabilities, as of the
                32 flipped modes of Cityscapes. `unbiased` then keeps the full reference term: it has no bias.
                None: graders of equal weight, drawn from a distribution
    ignore      bool (B, H, W), True where a pixel does not count, whatever its label

    A pair of which the convention leaves no class (d is NaN) is left out of the means over pairs; NaN if none is left.

    Source: Kohl et al. 2018, arXiv 1806.05034, section 4; Szekely and Rizzo 2013 for V- and U-statistics.
    Raises TypeError or ValueError, naming the argument, for input that is not as above.
    """
    rule = find_convention(convention)
    sample_masks, sample_counts = _pad("samples", samples)
    reference_masks, reference_counts = _pad("references", references)
    check_same_frame("references", reference_masks, "samples", sample_masks)
    check_ignore(ignore, "samples", sample_masks)
    device = device_of(sample_masks)
    if weights is not None:
        check_weights(weights, reference_counts.to(device), device)

    words = [
        convention_words("samples", sample_masks, rule, ignore),
        convention_words("references", reference_masks, rule, ignore),
    ]
    sample_weights = _equal_weights(sample_counts, device)
    if weights is None:
        reference_weights = _equal_weights(reference_counts, device)
    else:
        reference_weights = weights.double().expand(sample_masks.shape[0], -1).contiguous()
    s, y = (words[0], sample_weights), (words[1], reference_weights)
    cross, _ = _means(s, y, rule.empty)
    within_s, different_s = _means(s, s, rule.empty)
    within_y, different_y = _means(y, y, rule.empty)
    if weights is not None:
        different_y = within_y
    value, unbiased = 2 * cross - within_s - within_y, 2 * cross - different_s - different_y
    return EnergyDistance(value, unbiased, cross, within_s, within_y)


def _means(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], empty: float) -> tuple[Tensor, Tensor]:
    """Mean distance (B,) over pairs of packed masks and their weights, and the same without pairs of equal index."""
    sums = distance_sums(a[0], b[0], a[1], b[1], empty)
    if a is not b:
        return sums[:, 0] / sums[:, 1], sums[:, 0] / sums[:, 1]
    itself = torch.where(area(a[0]) > 0, 1.0, empty)  # IoU of each mask and class with itself, (B, N, K)
    d = 1 - itself.double().nanmean(-1)
    pairs = a[1].square() * ~d.isnan()
    others = sums - torch.stack([(pairs * d.nan_to_num()).sum(1), pairs.sum(1)], dim=1)
    unbiased = torch.where(others[:, 1] > 0, others[:, 0] / others[:, 1], math.nan)  # no other pairs: rounding alone
    return sums[:, 0] / sums[:, 1], unbiased


def _equal_weights(counts: Tensor, device: torch.device) -> Tensor:
    """1 for each mask an image has, 0 for its padding: float64 (B, max n_i). Counts are in main memory."""
    return (torch.arange(int(counts.max())) < counts[:, None]).double().to(device)


def _pad(name: str, masks: Masks | list[Tensor] | tuple[Tensor, ...]) -> tuple[Masks, Tensor]:
    """Masks (B, n, H, W), shorter sets filled up with zeros, and each image's number of masks, int64 (B,), on the CPU.

    Numbers that are only on a GPU would make the host wait for it.
    """
    if not isinstance(masks, list | tuple):
        check_masks(name, masks)
        return masks, torch.full((masks.shape[0],), masks.shape[1])
    if not masks:
        raise ValueError(f"{name}: got a list of 0 images, expected a label tensor (n, H, W) for each; skip empty sets")
    first = masks[0]
    for i, labels in enumerate(masks):
        check_label_tensor(f"{name}[{i}]", labels, "(n, H, W)")
        check_device(f"{name}[{i}]", labels.device, f"{name}[0]", first.device)
        if labels.dtype != first.dtype or labels.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{name}[{i}]: got {labels.dtype} of {tuple(labels.shape[1:])} pixels, expected {first.dtype} of "
                f"{tuple(first.shape[1:])} as in {name}[0]; convert, or pass such images in calls of their own"
            )
    return pad_sequence(list(masks), batch_first=True), torch.tensor([len(labels) for labels in masks])
