"""Logits whose joint distribution is a low-rank normal, in plain PyTorch: what the ops of stochastic segmentation mean.

The functions `draw_low_rank` and `draw_low_rank_sums` belong to the backend "reference".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from fastpunet_kernels.limits import LARGEST
from fastpunet_kernels.problem import MOST_CLASSES, Sums, empty_output
from fastpunet_kernels.reference import finish, philox_normal, sums_of_logits

_LOGITS = 1 << 23  # 32 MiB of logits at a time
FARTHEST = 7.0  # no normal of `philox_normal` is farther from 0 than 6.77
_CLASS_LAYERS = 1 << 48  # apart in their seeds, so that every class has noise of its own beside that of the factors


class LowRankLogits(NamedTuple):
    """The distribution of an image's logits over classes and pixels (Monteiro et al. 2020, equation 6).

    logits = mean + sum_r factor[r] e[r] + sigma * e', where all e and e' are independent standard normals. So the
    covariance of all logits is factor^T factor + diag(sigma^2).
    """

    mean: Tensor  # (B, K, P) float32
    factor: Tensor  # (B, R, K, P) float32
    sigma: Tensor  # (B, K, P) float32, at least 0


def pixel_normals(seed: int, ids: Tensor, first: int, n: int, classes: int, pixels: int) -> Tensor:
    """The standard normals e' float32 (B, n, K, P) of hypotheses first .. first + n - 1.

    Entry (b, k, c, p) is number p of `philox_normal` for hypothesis first + k of image ids[b], under the seed whose
    bits from 48 on are changed by c + 1. It depends on (seed, ids[b], first + k, c, p) alone.
    """
    planes = [philox_normal(seed ^ (c + 1) * _CLASS_LAYERS, ids, first, n, pixels) for c in range(classes)]
    return torch.stack(planes, dim=2)


def draw_low_rank(
    mean: Tensor, factor: Tensor, sigma: Tensor, e: Tensor, ids: Tensor, seed: int, first: int, output: str
) -> Tensor:
    """Hypotheses of such logits for e (B, n, R), in the form of `finish`: (B, n, ...)."""
    check_values(mean, factor, sigma, e)
    out = empty_output(mean.mT, e.shape[1], mean.shape[1], output)
    for some, logits in _drawn(LowRankLogits(mean, factor, sigma), e, ids, seed, first):
        out[:, some] = finish(logits.movedim(2, -1).flatten(0, 1), output).unflatten(0, logits.shape[:2])
    return out


def draw_low_rank_sums(
    mean: Tensor, factor: Tensor, sigma: Tensor, e: Tensor, ids: Tensor, seed: int, first: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`Sums` over the hypotheses of `draw_low_rank`."""
    check_values(mean, factor, sigma, e)
    images, classes, pixels = mean.shape
    probability = mean.new_zeros((images, classes, pixels), dtype=torch.float64)
    entropy = mean.new_zeros((images, pixels), dtype=torch.float64)
    volume = mean.new_zeros((images, e.shape[1], classes), dtype=torch.int64)
    for some, logits in _drawn(LowRankLogits(mean, factor, sigma), e, ids, seed, first):
        more = sums_of_logits(logits)
        probability += more.probability
        entropy += more.entropy
        volume[:, some] = more.volume
    return Sums(probability, entropy, volume)


def _drawn(normal: LowRankLogits, e: Tensor, ids: Tensor, seed: int, first: int) -> Iterator[tuple[slice, Tensor]]:
    """Logits (B, some, K, P), a few hypotheses at a time, and which ones.

    Products are added in order and rounded one by one, so that a hypothesis has the same bits in any company.
    """
    mean, factor, sigma = normal
    images, classes, pixels = mean.shape
    at_once = max(1, _LOGITS // max(1, mean.numel()))
    for start in range(0, e.shape[1], at_once):
        some = e[:, start : start + at_once, :, None, None]
        logits = mean[:, None].expand(images, some.shape[1], classes, pixels)
        for r in range(factor.shape[1]):
            logits = logits + factor[:, None, r] * some[:, :, r]
        noise = pixel_normals(seed, ids, first + start, some.shape[1], classes, pixels)
        yield slice(start, start + at_once), logits + sigma[:, None] * noise


def check_low_rank(normal: LowRankLogits, e: Tensor, ids: Tensor) -> None:
    """Raise ValueError, naming the argument, unless shapes and dtypes are those that `draw_low_rank` describes."""
    mean, factor, sigma = normal
    if mean.ndim != 3 or not 1 <= mean.shape[1] <= MOST_CLASSES:
        raise ValueError(
            f"mean: got shape {tuple(mean.shape)}, expected (B, K, P) with at most {MOST_CLASSES} classes (labels are "
            "uint8)"
        )
    images, classes, pixels = mean.shape
    rank = factor.shape[1] if factor.ndim == 4 else 0
    expected = {"factor": (images, max(1, rank), classes, pixels), "sigma": (images, classes, pixels), "ids": (images,)}
    for name, part in (("factor", factor), ("sigma", sigma), ("ids", ids)):
        if part.shape != expected[name]:
            raise ValueError(f"{name}: got shape {tuple(part.shape)}, expected {expected[name]} as mean has it")
    if e.ndim != 3 or e.shape[::2] != (images, rank):
        raise ValueError(f"e: got shape {tuple(e.shape)}, expected ({images}, n, {rank}), a number for each factor")
    for name, part in (("mean", mean), ("factor", factor), ("sigma", sigma), ("e", e)):
        if part.dtype != torch.float32:
            raise ValueError(f"{name}: got {part.dtype}, expected torch.float32")


def check_values(mean: Tensor, factor: Tensor, sigma: Tensor, e: Tensor) -> None:
    """Raise ValueError, naming the part, for NaN, infinity, or numbers with which float32 could overflow in a sum.

    On a GPU nothing is looked at, because the host would have to wait for the result.
    """
    if mean.device.type != "cpu":
        return
    reach = factor.shape[1] * _largest(e)
    largest = 0.0
    for name, part, times in (
        ("e", e, 0.0),
        ("mean", mean, 1.0),
        ("factor", factor, reach),
        ("sigma", sigma, FARTHEST),
    ):
        most = _largest(part)
        largest += times * most
        if not (most < LARGEST and largest < LARGEST):
            raise ValueError(
                f"{name}: got NaN, infinity or numbers so large that float32 overflows in the logits; check the images "
                "and the model's weights"
            )


def _largest(part: Tensor) -> float:
    """The largest absolute value; NaN if any number is NaN."""
    return float(torch.stack(part.aminmax()).abs().max()) if part.numel() else 0.0
