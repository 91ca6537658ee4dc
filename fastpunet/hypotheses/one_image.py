"""One image and its segmentations as arguments: checked, and the image encoded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastpunet.arguments import check_label_range
from fastpunet.sampler import Sampler


def encode_one(sampler: Sampler, image: object) -> Any:
    """The encoding of one image float (C, *size). Raises ValueError, naming `image`, for anything else."""
    if not isinstance(image, Tensor) or image.ndim != sampler.method.dims + 1:
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"image: got {got}, expected a tensor (C, {axes_of(sampler)}), one image")
    return sampler.encode(image[None])


def axes_of(sampler: Sampler) -> str:
    """The axes of the model's images, as messages name them."""
    return "H, W" if sampler.method.dims == 2 else "D, H, W"


def check_segmentations(name: str, masks: object, sampler: Sampler, size: tuple[int, ...]) -> Tensor:
    """Return segmentations int (M, *size) of one image of that size, or raise TypeError or ValueError naming `name`."""
    axes = axes_of(sampler)
    if not isinstance(masks, Tensor) or masks.is_floating_point() or masks.is_complex():
        got = masks.dtype if isinstance(masks, Tensor) else type(masks).__name__
        raise TypeError(f"{name}: got {got}, expected a tensor of whole-number class indices (M, {axes})")
    if masks.ndim != len(size) + 1 or not len(masks) or masks.shape[1:] != size:
        raise ValueError(
            f"{name}: got shape {tuple(masks.shape)}, expected (M, {', '.join(map(str, size))}), at least one "
            "segmentation of the image's size"
        )
    if masks.device != sampler.device:
        raise ValueError(
            f"{name}: got device {masks.device}, expected {sampler.device} as the image; use {name}.to(image.device)"
        )
    return masks


def check_known_labels(name: str, labels: Tensor, num_classes: int, unknown: int) -> None:
    """Raise ValueError unless all labels but `unknown` are classes of a model (1: binary)."""
    advice = f"{unknown} is the label of unknown pixels"
    known = labels.byte() if labels.dtype == torch.bool else labels[labels != unknown]
    check_label_range(name, known, max(2, num_classes), advice)
