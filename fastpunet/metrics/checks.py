"""What the metrics accept: every bad input is an error that says what it got, what it expects and what to do."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from fastpunet.masks import PackedMasks

Masks: TypeAlias = Tensor | PackedMasks

_LABEL_DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_WEIGHT_SUM_TOLERANCE = 1e-5


def device_of(masks: Masks) -> torch.device:
    return masks.words.device if isinstance(masks, PackedMasks) else masks.device


def check_label_tensor(name: str, labels: object, axes: str) -> None:
    """A label tensor of the given axes, such as "(B, N, H, W)", with no axis of length 0."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name}: got {type(labels).__name__}, expected a tensor of labels {axes}; convert it first")
    if labels.ndim != axes.count(",") + 1:
        raise ValueError(f"{name}: got shape {tuple(labels.shape)}, expected {axes}; add or drop axes to match")
    if labels.dtype not in _LABEL_DTYPES:
        raise TypeError(
            f"{name}: got dtype {labels.dtype}, expected labels of bool, uint8 or a signed integer dtype; "
            "threshold or argmax logits first, or convert with .long()"
        )
    _check_not_empty(name, tuple(labels.shape), axes)


def check_masks(name: str, masks: object) -> None:
    """A label tensor (B, N, H, W) or PackedMasks, with at least one image, mask and pixel."""
    if isinstance(masks, PackedMasks):
        _check_not_empty(name, masks.shape, "(B, N, H, W)")
    else:
        check_label_tensor(name, masks, "(B, N, H, W)")


def _check_not_empty(name: str, shape: tuple[int, ...], axes: str) -> None:
    for length, axis in zip(shape[::-1], ("columns (W)", "rows (H)", "masks", "images"), strict=False):
        if length == 0:
            raise ValueError(f"{name}: got 0 {axis} in shape {shape}, expected {axes}, none of them 0; skip empty sets")


def check_same_frame(name: str, masks: Masks, like_name: str, like: Masks) -> None:
    """The same images, pixels and device; the numbers of masks may differ."""
    images, _, *pixels = masks.shape
    like_images, _, *like_pixels = like.shape
    if images != like_images:
        raise ValueError(
            f"{name}: got {images} images, expected {like_images} as in {like_name}; pass both for the same images"
        )
    if pixels != like_pixels:
        raise ValueError(
            f"{name}: got {pixels[0]} x {pixels[1]} pixels, expected {like_pixels[0]} x {like_pixels[1]} "
            f"as in {like_name}; resize with nearest neighbours or crop one of them"
        )
    check_device(name, device_of(masks), like_name, device_of(like))


def check_device(name: str, device: torch.device, like_name: str, like_device: torch.device) -> None:
    if device != like_device:
        raise ValueError(f"{name}: got device {device}, expected {like_device} as {like_name}; move it with .to(...)")


def check_ignore(ignore: object, like_name: str, like: Masks) -> None:
    """None, or bool (B, H, W) on the device of the masks."""
    if ignore is None:
        return
    if not isinstance(ignore, Tensor) or ignore.dtype != torch.bool:
        got = f"dtype {ignore.dtype}" if isinstance(ignore, Tensor) else type(ignore).__name__
        raise TypeError(
            f"ignore: got {got}, expected a bool tensor (B, H, W), True = left out; e.g. labels[:, 0] == 255"
        )
    images, _, height, width = like.shape
    if ignore.shape != (images, height, width):
        raise ValueError(
            f"ignore: got shape {tuple(ignore.shape)}, expected (B, H, W) = {(images, height, width)} "
            f"as in {like_name}; one mask an image, shared by all its labels"
        )
    check_device("ignore", ignore.device, like_name, device_of(like))


def check_labels(name: str, masks: Masks, num_classes: int, ignore: Tensor | None, remedy: str) -> None:
    """Labels 0 .. num_classes - 1 wherever they count; packed masks have as many planes, or one for two classes."""
    if isinstance(masks, PackedMasks):
        if masks.num_planes != num_classes and (masks.num_planes, num_classes) != (1, 2):
            planes = "1 or 2" if num_classes == 2 else str(num_classes)
            raise ValueError(f"{name}: got PackedMasks of {masks.num_planes} planes, expected {planes}; {remedy}")
        return
    if ignore is not None:
        masks = masks.masked_fill(ignore[:, None], 0)
    lowest, highest = (int(label) for label in masks.aminmax())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(
            f"{name}: got labels from {lowest} to {highest}, expected 0 to {num_classes - 1} at all pixels that count; "
            f"{remedy}, or leave pixels out with ignore="
        )


def check_num_classes(num_classes: object) -> None:
    if not isinstance(num_classes, int) or isinstance(num_classes, bool):
        raise TypeError(f"num_classes: got {num_classes!r}, expected an int >= 2; leave it out for binary masks")
    if num_classes < 2:
        raise ValueError(f"num_classes: got {num_classes}, expected at least 2; leave it out for binary masks")


def check_empty(empty: object) -> None:
    if not isinstance(empty, int | float) or not (empty in (0, 1) or math.isnan(empty)):
        raise ValueError(
            f"empty: got {empty!r}, expected 1.0, 0.0 or nan, the IoU of two empty masks; pick one of these"
        )


def check_weights(weights: object, counts: Tensor, device: torch.device) -> None:
    """Probabilities (M,) or (B, M) of the references, M = counts.max(); 0 beyond an image's own count."""
    images, longest = counts.shape[0], int(counts.max())
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        got = f"dtype {weights.dtype}" if isinstance(weights, Tensor) else type(weights).__name__
        raise TypeError(
            f"weights: got {got}, expected a float tensor of probabilities; use torch.tensor(..., dtype=float)"
        )
    if weights.shape not in ((longest,), (images, longest)):
        raise ValueError(
            f"weights: got shape {tuple(weights.shape)}, expected (M,) = ({longest},) or (B, M) = "
            f"({images}, {longest}); give one probability for each reference"
        )
    check_device("weights", weights.device, "references", device)
    if not bool((weights >= 0).all()):
        raise ValueError("weights: got a negative or NaN value, expected probabilities >= 0; correct them")
    sums = weights.double().sum(-1)
    if not torch.allclose(sums, torch.ones_like(sums), rtol=0, atol=_WEIGHT_SUM_TOLERANCE):
        worst = sums.flatten()[(sums - 1).abs().argmax()]
        raise ValueError(
            f"weights: got a sum of {worst:.6g}, expected 1 per image; divide by weights.sum(-1, keepdim=True)"
        )
    beyond = torch.arange(longest, device=device) >= counts[:, None]
    if bool((weights.expand(images, longest)[beyond] > 0).any()):
        raise ValueError("weights: got a value > 0 beyond an image's last reference, expected 0 there; set it to 0")
