"""The energy distance's parts: whether anything is outlined, and how, where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fastpunet.metrics.conventions import Convention
from fastpunet.metrics.energy import energy_distance
from fastpunet.metrics.mask_sets import MaskSet, RaggedMasks, check_pair, mask_weights, read_mask_set
from fastpunet.metrics.planes import BINARY_ONLY, class_planes
from fastpunet.metrics.presence import share_present

_SHAPES = Convention("shapes")


@dataclass(frozen=True, eq=False)
class EnergyParts:
    """One float64 entry for each image, (B,); 0 is perfect.

    detection  the energy distance (V) with d = 1 if one of two masks is empty and the other is not, else 0. With shares
               p and q of hypotheses and graders that are not empty, it is 2 (p - q)^2
    shape      the energy distance (V) with d = 1 - IoU of the masks that are not empty; NaN where all hypotheses or all
               graders are empty
    """

    detection: Tensor
    shape: Tensor


ENERGY_PARTS = tuple(field.name for field in fields(EnergyParts))


def energy_parts(
    samples: RaggedMasks,
    references: RaggedMasks,
    *,
    weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
    ignore: Tensor | None = None,
) -> EnergyParts:
    """The detection and the shape part of the energy distance of binary masks. They do not add up to it.

    The arguments and errors are as of `energy_distance`.

    Source: after Zepf, Frellsen and Feragen 2024, arXiv 2407.16367, whose D^2_Det and D^2_IoU tell the same two apart;
    they count two empty masks as d = 1 elsewhere, so compare with their figures only if they state these definitions.

    >>> samples = torch.tensor([[[[1, 1, 0, 0]], [[0, 0, 0, 0]]]])
    >>> graders = torch.tensor([[[[1, 0, 0, 0]], [[1, 0, 0, 0]]]])
    >>> found = energy_parts(samples, graders)
    >>> found.detection.item(), found.shape.item()  # 2 (1/2 - 1)^2, and 2 (1/2)
    (0.5, 1.0)
    """
    s, y = read_mask_set("samples", samples), read_mask_set("references", references)
    check_pair(s, y, ignore)
    p, q = share_present(s, sample_weights, ignore), share_present(y, weights, ignore)
    outlined = [
        _outlined(s, mask_weights(s, sample_weights, "sample_weights"), ignore),
        _outlined(y, mask_weights(y, weights), ignore),
    ]
    shape = energy_distance(
        samples, references, convention=_SHAPES, sample_weights=outlined[0], weights=outlined[1], ignore=ignore
    ).value
    return EnergyParts(2 * (p - q).square(), shape.masked_fill((p == 0) | (q == 0), math.nan))


def _outlined(masks: MaskSet, weights: Tensor, ignore: Tensor | None) -> Tensor:
    """The probabilities (B, N) of masks given that they are not empty; as given where all are."""
    planes = class_planes(masks, 2, (1,), ignore, BINARY_ONLY)
    some = weights * planes.flatten(2).ne(0).any(2)
    kept = torch.where(some.sum(1, keepdim=True) > 0, some, weights)
    return kept / kept.sum(1, keepdim=True)
