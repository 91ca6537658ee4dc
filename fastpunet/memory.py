"""How many images and hypotheses are computed at a time, and how the parts become one result.

One budget bounds the temporary memory: as many images are encoded, and as many hypotheses decoded, at a time as fit.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.models.method import Encoding, Method

# Large enough that the cost of starting a computation is negligible. On a CPU a larger budget would exceed the caches.
_BUDGET_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}
_NEVER_TOO_MUCH = 1 << 26  # bytes of a result; asking a GPU for its free memory takes 40 us
_OUTPUT_BITS = {
    "labels": 8,
    "logits": 32,
    "probs": 32,
    "bits": 1,
}  # for each pixel, and for each class except in labels


def how_many(bytes_each: int, device: torch.device) -> int:
    """The number of items of that size that fit in the budget of the device; at least one."""
    budget = _BUDGET_BYTES.get(device.type, _BUDGET_BYTES["cpu"])
    if device.type == "cuda":
        budget = min(budget, torch.cuda.mem_get_info(device)[0] // 8)
    return max(1, budget // bytes_each)


def chunk_size(method: Method, encoding: Encoding, n: int, output: str, *, whole: bool) -> int:
    """How many hypotheses of these images are computed at a time.

    A chunk fits in the budget together with its temporaries. With `whole`, a chunk of all n hypotheses may itself be
    the result; then only the temporaries have to fit for all n to be computed at once.
    """
    scratch = method.scratch_bytes(encoding)
    if whole and how_many(scratch, encoding.device) >= n:
        return n
    each = output_bytes(output, encoding.pixels, method.num_classes)
    return how_many(scratch + encoding.images * each, encoding.device)


def output_bytes(output: str, pixels: int, classes: int) -> int:
    """Bytes of one hypothesis of one image in this output form."""
    per_pixel = _OUTPUT_BITS[output] * (1 if output == "labels" else classes)
    return -(-pixels * per_pixel // 8)


def check_memory(output: str, images: int, n: int, pixels: int, classes: int, device: torch.device) -> None:
    """Raise ValueError, before any work starts, if the hypotheses need more memory than is free now."""
    needed = images * n * output_bytes(output, pixels, classes)
    if needed > _NEVER_TOO_MUCH and needed > (free := free_memory(device)):
        bits = images * n * output_bytes("bits", pixels, classes)
        raise ValueError(
            f"n: got {n}; {n} hypotheses of {images} images as {output} take {needed / 1e9:.1f} GB, and "
            f'{free / 1e9:.1f} GB are free; use output="bits" ({bits / 1e9:.1f} GB), draw them part by part with '
            "Sampler.stream, or call fastpunet.summarize, which keeps no hypotheses"
        )


def features_fit(features: int, size: tuple[int, ...], images: int, device: torch.device) -> bool:
    """Whether features of large images, and as much again for the combiner's first layer, take half the free memory."""
    return _features_bytes(features, size, images) <= free_memory(device) / 2


def check_features(features: int, size: tuple[int, ...], images: int, device: torch.device) -> None:
    """Raise ValueError if features of large images, and as much again for the combiner's first layer, do not fit."""
    needed, free = _features_bytes(features, size, images), free_memory(device)
    if needed > free:
        raise ValueError(
            f"images: got {images} of {' x '.join(map(str, size))} pixels; their features ({features} channels) and "
            f"the output of the combiner's first layer take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "sample fewer images at a time, or parts of an image"
        )


def _features_bytes(features: int, size: tuple[int, ...], images: int) -> int:
    return 2 * 4 * images * features * math.prod(size)


def free_memory(device: torch.device) -> int:
    """Bytes that can be allocated without swapping, on a GPU or in main memory; sys.maxsize if that is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def shaped(flat: Tensor, output: str, size: tuple[int, ...]) -> Any:
    """Give hypotheses with flattened pixels, as `Method.draw` returns them, the images' own size."""
    return PackedMasks(flat, size) if output == "bits" else flat.unflatten(-1, size)


def assemble(parts: Iterable[tuple[int, int, Any]], images: int, n: int) -> Any:
    """Assemble one result (images, n, ...) from parts (first image, first hypothesis, tensor or PackedMasks).

    The parts cover the result. A part that is the whole result is returned without a copy.
    """
    whole: Any = None
    for image, hypothesis, part in parts:
        values = part.words if isinstance(part, PackedMasks) else part
        if values.shape[:2] == (images, n):
            return part
        if whole is None:
            whole = values.new_empty((images, n, *values.shape[2:]))
        whole[image : image + values.shape[0], hypothesis : hypothesis + values.shape[1]] = values
    return PackedMasks(whole, part.size) if isinstance(part, PackedMasks) else whole
