"""The squared energy distance between a set of samples and a set (or distribution) of references."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fastpunet.metrics.checks import (
    Masks,
    check_device,
    check_ignore,
    check_label_tensor,
    check_labels,
    check_masks,
    check_same_frame,
    check_weights,
    device_of,
)
from fastpunet.metrics.conventions import Convention, find_convention
from fastpunet.metrics.iou import self_iou
from fastpunet.metrics.planes import class_words

_DISTANCES_AT_ONCE = 1 << 22  # pairs x classes: bounds memory whatever the number of images


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
    if weights is not None:
        check_weights(weights, reference_counts, reference_counts.device)

    words = []
    for name, masks in (("samples", sample_masks), ("references", reference_masks)):
        remedy = f'convention {rule.name!r} has {rule.num_classes} classes: try convention("ccdm", num_classes=K)'
        check_labels(name, masks, rule.num_classes, ignore, remedy)
        words.append(class_words(masks, rule.num_classes, rule.averaged, ignore))
    both = torch.cat(words, dim=1)  # (B, n + M, classes, words)
    sample_weights = _equal_weights(sample_counts)
    if weights is None:
        reference_weights = _equal_weights(reference_counts)
    else:
        reference_weights = weights.double().expand(both.shape[0], -1)

    images_at_once = max(1, _DISTANCES_AT_ONCE // (both.shape[1] ** 2 * both.shape[2]))
    chunks = zip(*(t.split(images_at_once) for t in (both, sample_weights, reference_weights)), strict=True)
    parts = [
        _statistics(rule.distance(self_iou(masks, rule.empty)), s, y, exact_references=weights is not None)
        for masks, s, y in chunks
    ]
    return EnergyDistance(*torch.cat(parts, dim=1))


def _statistics(d: Tensor, s: Tensor, y: Tensor, exact_references: bool) -> Tensor:
    """The five fields, (5, B), from all distances d (B, n + M, n + M) and the weights s (B, n) and y (B, M)."""
    n = s.shape[1]
    ss, sy, yy = d[:, :n, :n], d[:, :n, n:], d[:, n:, n:]
    s_pairs, sy_pairs, y_pairs = _outer(s, s), _outer(s, y), _outer(y, y)
    cross, within_s, within_y = _mean(sy, sy_pairs), _mean(ss, s_pairs), _mean(yy, y_pairs)
    different_s = _mean(ss, _off_diagonal(s_pairs))
    different_y = within_y if exact_references else _mean(yy, _off_diagonal(y_pairs))
    value, unbiased = 2 * cross - within_s - within_y, 2 * cross - different_s - different_y
    return torch.stack([value, unbiased, cross, within_s, within_y])


def _outer(left: Tensor, right: Tensor) -> Tensor:
    return left[:, :, None] * right[:, None, :]


def _off_diagonal(pairs: Tensor) -> Tensor:
    return pairs * (1 - torch.eye(pairs.shape[1], dtype=pairs.dtype, device=pairs.device))


def _mean(d: Tensor, pairs: Tensor) -> Tensor:
    """The mean (B,) of d (B, i, j) under the weights of the pairs, of any sum, over those where d is a number."""
    pairs = pairs * ~d.isnan()
    return (pairs * d.nan_to_num()).sum((1, 2)) / pairs.sum((1, 2))


def _equal_weights(counts: Tensor) -> Tensor:
    """1 for each mask an image has, 0 for its padding: float64 (B, max n_i)."""
    return (torch.arange(int(counts.max()), device=counts.device) < counts[:, None]).double()


def _pad(name: str, masks: Masks | list[Tensor] | tuple[Tensor, ...]) -> tuple[Masks, Tensor]:
    """Masks (B, n, H, W), shorter sets filled up with zeros, and the number of masks of each image, int64 (B,)."""
    if not isinstance(masks, list | tuple):
        check_masks(name, masks)
        return masks, torch.full((masks.shape[0],), masks.shape[1], device=device_of(masks))
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
    counts = torch.tensor([len(labels) for labels in masks], device=first.device)
    return pad_sequence(list(masks), batch_first=True), counts
