"""What the models accept: every bad argument is an error that says what it got, what it expects and what to do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_sizes(**sizes: int) -> None:
    """Whole numbers of at least 1."""
    for name, value in sizes.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")


def check_num_classes(num_classes: int) -> None:
    check_sizes(num_classes=num_classes)
    if num_classes > 256:
        raise ValueError(f"num_classes: got {num_classes}, expected at most 256 (labels are uint8)")


def check_channels(channels: Sequence[int]) -> None:
    if not isinstance(channels, Sequence) or not channels or any(type(c) is not int or c < 1 for c in channels):
        raise ValueError(f"channels: got {channels!r}, expected one positive width a scale, such as (32, 64, 128)")


def check_log_sigma_bound(bound: float | None) -> None:
    if bound is not None and not bound > 0:
        raise ValueError(f"log_sigma_bound: got {bound}, expected a positive number or None")


def check_images(images: object, channels: int, device: torch.device) -> Tensor:
    """Finite floats (B, C, H, W), not empty, with the model's C and on its device; TypeError or ValueError if not."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images: got {type(images).__name__}, expected a torch.Tensor; see torch.from_numpy")
    if images.ndim != 4:
        raise ValueError(f"images: got shape {tuple(images.shape)}, expected (B, C, H, W); add axes with images[None]")
    if not images.is_floating_point():
        raise TypeError(f"images: got {images.dtype}, expected floats scaled as in training, such as images / 255")
    if 0 in images.shape:
        raise ValueError(f"images: got the empty shape {tuple(images.shape)}, expected at least one image and pixel")
    if images.shape[1] != channels:
        raise ValueError(f"images: got {images.shape[1]} channels, the model takes {channels}: (B, {channels}, H, W)")
    if images.device != device:
        raise ValueError(f"images: on {images.device}, the model on {device}; use images.to({str(device)!r})")
    if not torch.isfinite(images).all():
        raise ValueError("images: NaN or infinity among the pixels; replace them, for example torch.nan_to_num(images)")
    return images


def check_count(name: str, value: int, limit: int | None = None) -> int:
    """A whole number of at least 1 and at most `limit`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: got {type(value).__name__}, expected a whole number of at least 1")
    if value < 1 or (limit is not None and value > limit):
        raise ValueError(f"{name}: got {value}, expected at least 1" + (f" and at most {limit}" if limit else ""))
    return value


def check_labels(labels: Tensor, num_classes: int, ignore_index: int | None) -> None:
    """Labels 0 .. num_classes - 1 (0 and 1 if binary) wherever they count."""
    counted = labels if ignore_index is None else labels[labels != ignore_index]
    classes = max(2, num_classes)
    if counted.numel() and not (counted.min() >= 0 and counted.max() < classes):
        raise ValueError(
            f"labels: got {int(counted.min())} .. {int(counted.max())}, expected 0 .. {classes - 1} for "
            f"num_classes = {num_classes}; name a label to leave out as ignore_index"
        )
