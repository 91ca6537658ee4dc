"""Pruned decoding in plain PyTorch: most labels of a binary model are proved for whole groups of hypotheses at once.

Neighbouring latents give a pixel the same label nearly always. So the hypotheses of an image are put in an order in
which similar ones are neighbours (`similarity_order`), and that order is halved again and again: level l has 2^l
groups, and group j holds the places j n / 2^l to (j + 1) n / 2^l. The first-layer offsets of a group lie in a box
[low, high], and interval arithmetic takes that box through all layers (`logit_bounds`). A pixel is decided for the
whole group where both bounds of its logit are on the same side of the threshold. Only pixels that are not decided go on
to smaller groups, and at last to the dense decoder, which computes each (pixel, hypothesis) by itself.

Why the result is the dense decoder's, bit for bit. Bounds are computed with the very operations of the dense decoder
in the very order, each on a bound of its operand instead of the operand: where a weight is positive, an upper bound
takes the upper bound of what it multiplies, and where it is negative the lower one. Each of these operations
(addition, product, fused multiply-add, ReLU, rounding to bfloat16 with or without subnormal numbers) is exact
arithmetic followed by rounding, and rounding is monotone: x <= y implies round(x) <= round(y). So each is monotone in
each operand, rounding included, and by induction a bound holds for the rounded number that the dense decoder gets and
not only for the exact one. No margin is needed, whatever the scales of the weights are and whether or not numbers are
subnormal. Equality at the threshold is decided too: upper <= 0 means label 0, lower > 0 means label 1. Overflow and
NaN cannot occur, for `limits` refuses what could lead to them.

This needs operations that are rounded one by one. Where products are summed in an order that depends on the values or
on the sizes, or are truncated to a common exponent first, as on the tensor cores of GPUs, bounds need a margin for
the rounding errors of both computations.

Bounds cost about as much as two hypotheses. `best_levels` says which levels are worth them, if any is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastpunet_kernels.limits import check_limits
from fastpunet_kernels.problem import empty_output
from fastpunet_kernels.reference import finish, first_layer_offsets


def group_edge(level: int, group: int, n: int) -> int:
    """The first place of a group of that level, in an order of n hypotheses."""
    return group * n >> level


def similarity_order(offset: Tensor, levels: int) -> Tensor:
    """Indices int64 (n,) of first-layer offsets (n, h), so that groups down to level `levels` hold similar ones.

    Each group is sorted along its leading principal direction, and then divided in two.
    """
    n = offset.shape[0]
    order = torch.arange(n)
    for level in range(levels):
        for group in range(1 << level):
            members = order[group_edge(level, group, n) : group_edge(level, group + 1, n)]
            centred = offset[members].double() - offset[members].double().mean(0)
            direction = torch.linalg.svd(centred, full_matrices=False).Vh[0]
            order[group_edge(level, group, n) : group_edge(level, group + 1, n)] = members[
                (centred @ direction).argsort(stable=True)
            ]
    return order


def logit_bounds(
    base: Tensor, low: Tensor, high: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], precision: str
) -> tuple[Tensor, Tensor]:
    """Bounds (P, K) of all logits of base (P, h) whose first-layer offsets lie between low and high (h,).

    With low = high both are the logits themselves.
    """
    lower, upper = (base + low).relu(), (base + high).relu()
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        lower, upper, weight = (_rounded(values, precision) for values in (lower, upper, weight))
        lower, upper = _affine(lower, upper, weight, bias), _affine(upper, lower, weight, bias)
        if layer < len(weights) - 1:
            lower, upper = lower.relu(), upper.relu()
    return lower, upper


def _affine(positive: Tensor, negative: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x @ weight.T + bias summed in order, where x is `positive` at positive weights and `negative` at others."""
    total = torch.zeros(())
    for i, column in enumerate(weight.T):
        total = total + torch.where(column > 0, positive[:, i, None], negative[:, i, None]) * column
    return total + bias


def _rounded(values: Tensor, precision: str) -> Tensor:
    return values.bfloat16().float() if precision == "bf16" else values


def best_levels(undecided: Sequence[float], n: int, cost: float, dense: float = 1.0) -> list[int]:
    """The levels of groups whose bounds are worth computing, from the top down; none if all n are better decoded.

    undecided[l] is the share of (pixel, hypothesis) that bounds of level l do not decide; bounds are nested, so that it
    does not depend on the levels before. `cost` is what bounds of one pixel cost, in units of one decoded pixel and
    hypothesis; `dense` what decoding a pixel that was gathered costs, in the same unit.
    """
    least, following = [dense * share for share in [1.0, *undecided]], [len(undecided)] * (len(undecided) + 1)
    for here in range(len(undecided), -1, -1):  # here - 1 is the level whose bounds were computed last
        share = undecided[here - 1] if here else 1.0
        for level in range(here, len(undecided)):
            total = share * cost * (1 << level) / n + least[level + 1]
            if total < least[here]:
                least[here], following[here] = total, level
    levels: list[int] = []
    here = 0
    while following[here] < len(undecided):
        levels.append(following[here])
        here = following[here] + 1
    return levels


def decode_pruned(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    output: str,
    precision: str,
    levels: Sequence[int],
) -> Tensor:
    """`reference.decode_latents` of a binary model to "labels" or "bits", with bounds of groups of these levels.

    It sums in order, and so gives the same bits whatever the levels are; with no levels it is the dense decoder.
    """
    images, pixels, _ = base.shape
    out = empty_output(base, z.shape[1], 1, output)
    offset = first_layer_offsets(z, z_weight)
    check_limits(base, z_weight, weights, biases, offset)
    for image in range(images):
        labels = torch.zeros((z.shape[1], pixels), dtype=torch.bool)
        order = similarity_order(offset[image], max(levels, default=0))
        _decode_group(base[image], offset[image, order], weights, biases, precision, list(levels), labels)
        out[image, order] = finish(labels.float()[..., None], output)
    return out


def _decode_group(
    base: Tensor,
    offset: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    precision: str,
    levels: list[int],
    labels: Tensor,
) -> None:
    """Write the labels (n, P) of offsets (n, h) in their order, group by group and level by level."""
    n, pixels = labels.shape
    open_pixels = {(0, 0): torch.arange(pixels)}  # the undecided pixels of each group of the level before
    before = 0
    for level in levels:
        following = {}
        for (_, group), undecided in open_pixels.items():
            for child in range(group << (level - before), (group + 1) << (level - before)):
                first, last = group_edge(level, child, n), group_edge(level, child + 1, n)
                if first == last or not len(undecided):
                    continue
                members = offset[first:last]
                lower, upper = logit_bounds(
                    base[undecided], members.amin(0), members.amax(0), weights, biases, precision
                )
                labels[first:last, undecided[lower[:, 0] > 0]] = True
                following[level, child] = undecided[(lower[:, 0] <= 0) & (upper[:, 0] > 0)]
        open_pixels, before = following, level
    for (level, group), undecided in open_pixels.items():
        for place in range(group_edge(level, group, n), group_edge(level, group + 1, n)):
            logits, _ = logit_bounds(base[undecided], offset[place], offset[place], weights, biases, precision)
            labels[place, undecided] = logits[:, 0] > 0
