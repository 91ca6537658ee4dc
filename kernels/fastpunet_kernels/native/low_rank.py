"""The ops of low_rank.py, done by the compiled kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet_kernels.low_rank import check_values
from fastpunet_kernels.native import launch
from fastpunet_kernels.problem import empty_output


def draw_low_rank(
    mean: Tensor, factor: Tensor, sigma: Tensor, e: Tensor, ids: Tensor, seed: int, first: int, output: str
) -> Tensor:
    check_values(mean, factor, sigma, e)
    out = empty_output(mean.mT, e.shape[1], mean.shape[1], output)
    if output == "bits":
        out.zero_()
    arrays = (launch.array(part) for part in (mean, factor, sigma, e, ids))
    skips = launch.pruned_levels() != []  # noise that cannot change a label
    launch.kernels.draw_low_rank(*arrays, seed, first, out.numpy(), output, skips, *launch.machine())
    return out


def draw_low_rank_sums(
    mean: Tensor, factor: Tensor, sigma: Tensor, e: Tensor, ids: Tensor, seed: int, first: int
) -> tuple[Tensor, Tensor, Tensor]:
    check_values(mean, factor, sigma, e)
    images, classes, pixels = mean.shape
    probability = torch.empty((images, classes, pixels), dtype=torch.float64)
    entropy = torch.empty((images, pixels), dtype=torch.float64)
    volume = torch.zeros((images, e.shape[1], classes), dtype=torch.int64)
    arrays = (launch.array(part) for part in (mean, factor, sigma, e, ids))
    outputs = probability.numpy(), entropy.numpy(), volume.numpy()
    launch.kernels.draw_low_rank_sums(*arrays, seed, first, *outputs, *launch.machine())
    return probability, entropy, volume
