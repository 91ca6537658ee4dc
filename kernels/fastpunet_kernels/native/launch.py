"""From tensors to the compiled kernels: layout, outputs, threads. Meaning and shapes are those of reference.py."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

kernels: Any = None
WHY_MISSING: str | None = None
try:
    from fastpunet_kernels.native import _kernels  # type: ignore[attr-defined]

    kernels = _kernels
except ImportError as error:
    WHY_MISSING = str(error)

CAPABILITY_VARIABLE = "FASTPUNET_CPU_CAPABILITY"


@cache
def capability() -> int:
    """Index of the instruction set in `kernels.CAPABILITIES`: the best one here, or the lower one that the environment
    variable FASTPUNET_CPU_CAPABILITY names. Raises ValueError for one that this processor lacks.
    """
    names, best = kernels.CAPABILITIES, kernels.detect_capability()
    wanted = os.environ.get(CAPABILITY_VARIABLE)
    if wanted is None:
        return int(best)
    if wanted not in names[: best + 1]:
        raise ValueError(f"{CAPABILITY_VARIABLE}: got {wanted!r}, expected one of {', '.join(names[: best + 1])}")
    return int(names.index(wanted))


def launch_philox_normal(seed: int, ids: Tensor, first: int, n: int, dim: int) -> Tensor:
    out = torch.empty((ids.numel(), n, dim), dtype=torch.float32)
    kernels.philox_normal(seed, _array(ids), first, n, dim, out.numpy(), torch.get_num_threads())
    return out


def launch_decode(
    base: Tensor,
    offset: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    out: Tensor,
    output: str,
    precision: str,
) -> Tensor:
    if output == "bits":
        out.zero_()
    kernels.decode(*_layers(base, offset, weights, biases), out.numpy(), output, precision, *_machine())
    return out


def launch_decode_sums(
    base: Tensor, offset: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], precision: str
) -> tuple[Tensor, Tensor, Tensor]:
    images, pixels, classes = base.shape[0], base.shape[1], weights[-1].shape[0]
    probability = torch.empty((images, classes, pixels), dtype=torch.float64)
    entropy = torch.empty((images, pixels), dtype=torch.float64)
    volume = torch.zeros((images, offset.shape[1], classes), dtype=torch.int64)
    outputs = probability.numpy(), entropy.numpy(), volume.numpy()
    kernels.decode_sums(*_layers(base, offset, weights, biases), *outputs, precision, *_machine())
    return probability, entropy, volume


def launch_pairwise_intersection(a: Tensor, b: Tensor) -> Tensor:
    out = torch.empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]), dtype=torch.int32)
    left, right = _pair(a, b)
    kernels.pairwise_intersection(left, right, out.numpy(), *_machine())
    return out


def launch_mask_iou(a: Tensor, b: Tensor, empty: float) -> Tensor:
    out = torch.empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]), dtype=torch.float32)
    left, right = _pair(a, b)
    kernels.mask_iou(left, right, empty, out.numpy(), *_machine())
    return out


def launch_distance_sums(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float) -> Tensor:
    out = torch.empty((a.shape[0], 2), dtype=torch.float64)
    masks, weights = _pair(a, b), _pair(weights_a, weights_b)
    kernels.distance_sums(*masks, *weights, empty, out.numpy(), *_machine())
    return out


def launch_pack_labels(labels: Tensor, classes: Tensor) -> Tensor:
    flat = labels.flatten(0, -2) if labels.ndim > 1 else labels[None]
    out = torch.empty((flat.shape[0], classes.numel(), -(-flat.shape[1] // 32)), dtype=torch.int32)
    kernels.pack_labels(_array(flat), _array(classes), out.numpy(), *_machine())
    return out.view(*labels.shape[:-1], *out.shape[1:])


def launch_unpack_labels(words: Tensor, pixels: int) -> Tensor:
    flat = words.flatten(0, -3) if words.ndim > 2 else words[None]
    out = torch.empty((flat.shape[0], pixels), dtype=torch.uint8)
    kernels.unpack_labels(_array(flat), out.numpy(), torch.get_num_threads())
    return out.view(*words.shape[:-2], pixels)


def _machine() -> tuple[int, int]:
    return capability(), torch.get_num_threads()


def _layers(base: Tensor, offset: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> tuple[Any, ...]:
    return _array(base), _array(offset), [_array(w) for w in weights], [_array(b) for b in biases]


def _pair(a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; one and the same where they share their storage, which halves the work on a set with itself."""
    left = _array(a)
    same = a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
    return left, left if same else _array(b)


def _array(tensor: Tensor) -> np.ndarray:
    """The tensor as a C-contiguous, aligned array; a copy only where it is not one already."""
    return np.require(tensor.detach().numpy(), requirements=("C", "A"))
