"""STAPLE: the probable truth behind several graders, whose reliability is estimated with it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastpunet.metrics.mask_sets import RaggedMasks, check_ignore, read_mask_set
from fastpunet.metrics.planes import class_planes, count_classes, unpack_plane

_START = 0.99999  # sensitivity and specificity of every grader before the first step, as in ITK
_STEPS = 200
_CHANGE = 1e-12  # of sensitivities and specificities, after which nothing moves


def staple(references: RaggedMasks, *, num_classes: int | None = None, ignore: Tensor | None = None) -> Tensor:
    """The probability that a pixel truly has a class, given all graders: float64 (B, K, *size), K = 1 if binary.

    Expectation maximisation over each grader's sensitivity and specificity, each class and image by itself. The prior
    probability of the class is its share over all graders and pixels of the image. Where graders contradict each other
    in equal parts, as two graders of disjoint masks do, the algorithm has no stable answer, and rounding decides.

    references   labels (B, M, H, W) or (B, M, D, H, W), `PackedMasks`, or a list with the masks of each image
    num_classes  None for binary masks; K
    ignore       bool (B, H, W) or (B, D, H, W), True where a pixel does not count, where the probability is 0

    Source: Warfield, Zou and Wells 2004, IEEE Transactions on Medical Imaging 23(7).
    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> graders = torch.tensor([[[[1, 1, 0, 0]], [[1, 1, 0, 0]], [[1, 0, 1, 0]]]])
    >>> (staple(graders) > 0.5).int()
    tensor([[[[1, 1, 0, 0]]]], dtype=torch.int32)
    """
    masks = read_mask_set("references", references)
    check_ignore(ignore, masks)
    total = count_classes(num_classes)
    classes = (1,) if num_classes is None else range(total)
    planes = class_planes(masks, total, classes, ignore)
    pixels = torch.ones(masks.images, math.prod(masks.size), dtype=torch.bool, device=planes.device)
    known = pixels if ignore is None else ~ignore.flatten(1)
    found = [
        torch.stack([_probable(votes[:m], where) for votes, m, where in zip(bits, masks.counts, known, strict=True)])
        for bits in (unpack_plane(plane, masks) for plane in planes.split(1, dim=2))
    ]
    return torch.stack(found, 1).unflatten(2, masks.size)


def _probable(votes: Tensor, counts: Tensor) -> Tensor:
    """Of one class in one image, float64 (P,), from votes uint8 (M, P) at the pixels that count, bool (P,)."""
    patterns, places, pixels = votes[:, counts].unique(dim=1, return_inverse=True, return_counts=True)
    truth = torch.zeros(len(counts), dtype=torch.float64, device=votes.device)
    if not len(places):
        return truth
    said, pixels = patterns.double(), pixels.double()
    prior = (said * pixels).sum() / (pixels.sum() * len(said))
    sensitivity = torch.full((len(said),), _START, dtype=torch.float64, device=votes.device)
    specificity = sensitivity.clone()
    for _ in range(_STEPS):
        yes = prior.log() + _log_likelihood(said, sensitivity)
        no = (1 - prior).log() + _log_likelihood(1 - said, specificity)
        probable = torch.sigmoid(yes - no)
        before = torch.stack((sensitivity, specificity))
        sensitivity = _share(said, pixels * probable, sensitivity)
        specificity = _share(1 - said, pixels * (1 - probable), specificity)
        if (torch.stack((sensitivity, specificity)) - before).abs().max() < _CHANGE:
            break
    truth[counts] = probable[places]
    return truth


def _log_likelihood(said: Tensor, right: Tensor) -> Tensor:
    """Of what graders said (M, patterns), if they are right with these probabilities (M,)."""
    right = right[:, None].clamp(1e-12, 1 - 1e-12)
    return (said * right.log() + (1 - said) * (1 - right).log()).sum(0)


def _share(said: Tensor, mass: Tensor, otherwise: Tensor) -> Tensor:
    """Of the mass, how much each grader named, (M,); what it was before where there is none."""
    return torch.where(mass.sum() > 0, (said * mass).sum(1) / mass.sum(), otherwise)
