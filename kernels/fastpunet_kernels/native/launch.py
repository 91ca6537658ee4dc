"""The backend "native": the functions of reference.py, done by the compiled kernels.

Here are the layout of tensors, memory for outputs and the number of threads; meaning and shapes are in reference.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastpunet_kernels import environment, reference
from fastpunet_kernels.problem import WORD_BITS, Decoder, decoder_gradients, empty_output, reparameterised
from fastpunet_kernels.threads import thread_count

kernels: Any = None
WHY_MISSING: str | None = None  # and what to do about it
try:
    from fastpunet_kernels.native import _kernels  # type: ignore[attr-defined]

    kernels = _kernels
except ImportError as error:
    if list(Path(__file__).parent.glob("_kernels.*")):
        WHY_MISSING = f"it was built for another Python or system ({error}); install fastpunet again with this one"
    else:
        WHY_MISSING = "it was not built; install a C++17 compiler (g++ or clang++), then fastpunet again"

_PART = 12288  # pixels x hypotheses whose gradients are worth a sum of their own
_PARTIAL_SUMS = 1 << 21  # 16 MiB of such sums

CAPABILITY_VARIABLE = environment.CPU_CAPABILITY


@cache
def capability() -> int:
    """Index of the instruction set in `kernels.CAPABILITIES`: the best one here, or the lower one that the environment
    variable FASTPUNET_CPU_CAPABILITY names. Raises ValueError for one that this processor lacks.
    """
    available = kernels.CAPABILITIES[: kernels.detect_capability() + 1]
    return int(available.index(environment.cpu_capability(available)))


def pruned_levels() -> list[int] | None:
    """The levels of groups of hypotheses whose bounds are computed (see pruning.py); None: those that pay."""
    return environment.pruned_levels()


def philox_normal(seed: int, ids: Tensor, first: int, n: int, dim: int) -> Tensor:
    out = torch.empty((ids.numel(), n, dim), dtype=torch.float32)
    kernels.philox_normal(seed, array(ids), first, n, dim, out.numpy(), thread_count())
    return out


def decode_latents(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    output: str,
    precision: str,
) -> Tensor:
    out = empty_output(base, z.shape[1], weights[-1].shape[0], output)
    if output == "bits":
        out.zero_()
    problem = _problem(base, z_weight, weights, biases, z)
    kernels.decode(*problem, out.numpy(), output, precision, pruned_levels(), None, *machine())
    return out


def decode_maps(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    values: Tensor,
    map_weight: Tensor,
    size: Sequence[int],
    output: str,
    precision: str,
) -> Tensor:
    out = empty_output(base, z.shape[1], weights[-1].shape[0], output)
    if output == "bits":
        out.zero_()
    problem, maps = _problem(base, z_weight, weights, biases, z), _maps(values, map_weight, size)
    kernels.decode(*problem, out.numpy(), output, precision, [], maps, *machine())
    return out


def decode_logits(
    base: Tensor, z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], z: Tensor
) -> Tensor:
    out = empty_output(base, z.shape[1], weights[-1].shape[0], "logits")
    kernels.decode_logits(*_problem(base, z_weight, weights, biases, z), out.numpy(), *machine())
    return out


def decode_logits_gradients(
    gradient: Tensor,
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
) -> list[Tensor]:
    """The gradients of base, z_weight, all weights, all biases and z.

    Sums over pixels are those of an image's parts, added up in float64. The problem's sizes alone decide how many there
    are, so that the number of threads does not change a bit.
    """
    images, pixels, width = base.shape
    n, size = z.shape[1], sum(weight.numel() + weight.shape[0] for weight in weights)
    room = _PARTIAL_SUMS // max(1, images * (size + n * width))
    parts = max(1, min(pixels * n // _PART, room))
    of_base = torch.empty((images, pixels, width), dtype=torch.float32)
    offset = torch.zeros((images, parts, n, width), dtype=torch.float64)
    layers = torch.empty((images, parts, size), dtype=torch.float64)
    outputs = of_base.numpy(), offset.numpy(), layers.numpy()
    kernels.decode_gradients(array(gradient), *_problem(base, z_weight, weights, biases, z), *outputs, *machine())
    decoder = Decoder(z_weight, list(weights), list(biases))
    return [of_base, *decoder_gradients(offset.sum(1), layers.sum((0, 1)), decoder, z)]


def decode_gaussian(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    mu: Tensor,
    sigma: Tensor,
    ids: Tensor,
    seed: int,
    first: int,
    n: int,
    output: str,
    precision: str,
) -> Tensor:
    z = reparameterised(mu, sigma, philox_normal(seed, ids, first, n, mu.shape[1]))
    return decode_latents(base, z_weight, weights, biases, z, output, precision)


def decode_sums(
    base: Tensor, z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], z: Tensor, precision: str
) -> tuple[Tensor, Tensor, Tensor]:
    return _decode_sums(_problem(base, z_weight, weights, biases, z), None, precision)


def decode_map_sums(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    values: Tensor,
    map_weight: Tensor,
    size: Sequence[int],
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return _decode_sums(_problem(base, z_weight, weights, biases, z), _maps(values, map_weight, size), precision)


def _decode_sums(problem: tuple[Any, ...], maps: Any, precision: str) -> tuple[Tensor, Tensor, Tensor]:
    base, z, *_, biases = problem
    (images, pixels, _), classes = base.shape, len(biases[-1])
    probability = torch.empty((images, classes, pixels), dtype=torch.float64)
    entropy = torch.empty((images, pixels), dtype=torch.float64)
    volume = torch.zeros((images, z.shape[1], classes), dtype=torch.int64)
    outputs = probability.numpy(), entropy.numpy(), volume.numpy()
    kernels.decode_sums(*problem, *outputs, precision, maps, *machine())
    return probability, entropy, volume


def pack_labels(labels: Tensor, classes: Sequence[int]) -> Tensor:
    small = labels.to(torch.uint8)
    exact = labels.dtype in (torch.bool, torch.uint8) or torch.equal(small, labels)
    if not exact or min(classes) < 0 or max(classes) > 255:
        return reference.pack_labels(labels, classes)
    flat = small.flatten(0, -2) if small.ndim > 1 else small[None]
    out = torch.empty((flat.shape[0], len(classes), -(-flat.shape[1] // WORD_BITS)), dtype=torch.int32)
    kernels.pack_labels(array(flat), np.array(classes, dtype=np.uint8), out.numpy(), *machine())
    return out.view(*labels.shape[:-1], *out.shape[1:])


def unpack_labels(words: Tensor, pixels: int) -> Tensor:
    flat = words.flatten(0, -3) if words.ndim > 2 else words[None]
    out = torch.empty((flat.shape[0], pixels), dtype=torch.uint8)
    kernels.unpack_labels(array(flat), out.numpy(), thread_count())
    return out.view(*words.shape[:-2], pixels)


def pairwise_intersection(a: Tensor, b: Tensor) -> Tensor:
    out = torch.empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]), dtype=torch.int32)
    left, right = _pair(a, b)
    kernels.pairwise_intersection(left, right, out.numpy(), *machine())
    return out


def area(words: Tensor) -> Tensor:
    return reference.area(words, pairwise_intersection)


def mask_iou(a: Tensor, b: Tensor, empty: float) -> Tensor:
    out = torch.empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]), dtype=torch.float32)
    left, right = _pair(a, b)
    kernels.mask_iou(left, right, empty, out.numpy(), *machine())
    return out


def iou_of_pairs(masks: Tensor, first: Tensor, second: Tensor, empty: float) -> Tensor:
    out = torch.empty((masks.shape[0], first.shape[0], masks.shape[2]), dtype=torch.float64)
    kernels.iou_of_pairs(array(masks), array(first), array(second), empty, out.numpy(), *machine())
    return out


def distance_sums(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float) -> Tensor:
    out = torch.empty((a.shape[0], 2), dtype=torch.float64)
    masks, weights = _pair(a, b), _pair(weights_a, weights_b)
    kernels.distance_sums(*masks, *weights, empty, out.numpy(), *machine())
    return out


def machine() -> tuple[int, int]:
    """Index of the instruction set, and the number of threads."""
    return capability(), thread_count()


def _problem(
    base: Tensor, z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], z: Tensor
) -> tuple[Any, ...]:
    return array(base), array(z), array(z_weight), [array(w) for w in weights], [array(b) for b in biases]


def _maps(values: Tensor, weight: Tensor, size: Sequence[int]) -> tuple[Any, ...]:
    return array(values.flatten(3)), array(weight), list(size), list(values.shape[3:])


def _pair(a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; one and the same where they share their storage, which halves the work on a set with itself."""
    left = array(a)
    same = a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
    return left, left if same else array(b)


def array(tensor: Tensor) -> np.ndarray:
    """The tensor as a C-contiguous, aligned array; a copy only where it is not one already."""
    return np.require(tensor.detach().numpy(), requirements=("C", "A"))
