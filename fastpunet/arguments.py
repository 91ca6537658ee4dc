"""Checks of arguments and settings: every error names the argument, what it got, what it expects and what to do."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from operator import index
from typing import SupportsIndex, TypeGuard

import torch
from torch import Tensor

from fastpunet.late_checks import check_values

LABEL_DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_SUM_TOLERANCE = 1e-5  # for a sum of probabilities, which may be float32


def named_argument(message: str) -> tuple[str, str]:
    """The name of the argument that an error begins with, which is empty if there is none, and the rest.

    >>> named_argument("root: a.png is a mask without its image"), named_argument("no file 'x: y'")
    (('root', 'a.png is a mask without its image'), ('', "no file 'x: y'"))
    """
    match = re.match(r"(\w+): (?=\S)", message)
    return (match[1], message[match.end() :]) if match else ("", message)


def check_count(name: str, value: object, *, least: int = 1, limit: int | None = None, advice: str = "") -> int:
    """Return a whole number, least <= value <= limit, as an int, or raise TypeError or ValueError.

    advice: the end of the error message, which says what to do instead.
    """
    advice = f"; {advice}" if advice else ""
    if not is_whole_number(value):
        raise TypeError(f"{name}: got {value!r}, expected a whole number of at least {least}{advice}")
    number = index(value)
    if number < least or (limit is not None and number > limit):
        at_most = "" if limit is None else f" and at most {limit}"
        raise ValueError(f"{name}: got {number}, expected a whole number of at least {least}{at_most}{advice}")
    return number


def is_whole_number(value: object) -> TypeGuard[SupportsIndex]:
    """Whether the value is a whole number: NumPy integers and integer tensors without axes are, bools are not."""
    return not isinstance(value, bool) and isinstance(value, SupportsIndex) and getattr(value, "ndim", 0) == 0


def check_counts(**values: object) -> None:
    """Raise TypeError or ValueError unless all values are whole numbers of at least 1."""
    for name, value in values.items():
        check_count(name, value)


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(choices)}")


def check_positive(name: str, value: object) -> None:
    if not is_number(value) or value <= 0:  # type: ignore[operator]
        raise ValueError(f"{name}: got {value!r}, expected a positive number")


def check_at_least_zero(name: str, value: object) -> None:
    if not is_number(value) or value < 0:  # type: ignore[operator]
        raise ValueError(f"{name}: got {value!r}, expected a number of at least 0")


def check_switch(name: str, value: object) -> None:
    if type(value) is not bool:
        raise ValueError(f"{name}: got {value!r}, expected true or false")


def check_range(name: str, value: object) -> None:
    """Raise ValueError unless the value is [low, high] with 0 < low <= high."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(is_number, value)):
        raise ValueError(f"{name}: got {value!r}, expected [low, high]")
    if not 0 < value[0] <= value[1]:
        raise ValueError(f"{name}: got {value!r}, expected 0 < low <= high")


def is_number(value: object) -> bool:
    """Whether the value is an int or float that a float can hold, not NaN or infinity, and no bool."""
    if type(value) is not int and type(value) is not float:
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def check_num_classes(num_classes: int) -> None:
    check_count("num_classes", num_classes)
    if num_classes > 256:
        raise ValueError(f"num_classes: got {num_classes}, expected at most 256 (labels are uint8)")


def check_dims(dims: int) -> None:
    if dims not in (2, 3):
        raise ValueError(f"dims: got {dims!r}, expected 2 for images (H, W) or 3 for volumes (D, H, W)")


def check_channels(channels: Sequence[int]) -> None:
    """Raise ValueError unless these can be the widths of a U-Net's scales."""
    if not isinstance(channels, Sequence) or not channels or any(type(c) is not int or c < 1 for c in channels):
        raise ValueError(
            f"channels: got {channels!r}, expected a positive number of channels for each scale, such as (32, 64, 128)"
        )


def check_log_sigma_bound(bound: float | None) -> None:
    if bound is not None and not (isinstance(bound, (int, float)) and bound > 0):
        raise ValueError(f"log_sigma_bound: got {bound!r}, expected a positive number or None")


def check_labels(labels: Tensor, num_classes: int, ignore_index: int | None) -> None:
    """Raise ValueError unless all labels but ignore_index are 0 .. num_classes - 1 (0 and 1 if binary)."""
    counted = labels if ignore_index is None else labels[labels != ignore_index]
    check_label_range("labels", counted, max(2, num_classes), "name a label to leave out as ignore_index")


def check_label_range(name: str, labels: Tensor, num_classes: int, advice: str) -> None:
    """Raise ValueError, whose message ends with the advice, unless all labels are 0 .. num_classes - 1."""
    if labels.is_meta:
        raise ValueError(f"{name}: got a tensor on the meta device, which holds no values; give one on a CPU or GPU")
    if labels.dtype == torch.bool or not labels.numel():
        return

    def check(bounds: Sequence[float]) -> None:
        lowest, highest = map(int, bounds)
        if lowest < 0 or highest >= num_classes:
            raise ValueError(
                f"{name}: got labels {lowest} .. {highest}, expected 0 .. {num_classes - 1} for {num_classes} classes; "
                f"{advice}"
            )

    check_values(labels.aminmax(), check)


def check_label_tensor(name: str, labels: object, axes: str) -> Tensor:
    """Return a tensor of bool or integer labels with one of these `axes`, such as "(B, H, W) or (B, D, H, W)"."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name}: got {type(labels).__name__}, expected a tensor of labels {axes}; convert it first")
    if labels.layout != torch.strided:
        raise TypeError(f"{name}: got a tensor of layout {labels.layout}, expected a dense one; use .to_dense()")
    if labels.ndim not in [form.count(",") + 1 for form in axes.split(" or ")]:
        raise ValueError(f"{name}: got shape {tuple(labels.shape)}, expected {axes}; add or drop axes to match")
    if labels.dtype not in LABEL_DTYPES:
        raise TypeError(
            f"{name}: got dtype {labels.dtype}, expected labels of bool, uint8 or a signed integer dtype; "
            "threshold or argmax logits first, or convert with .long()"
        )
    return labels


def check_probabilities(name: str, probabilities: object) -> Tensor:
    """Return floats of at least 0 whose sum along the last axis is 1 up to rounding, or raise an error."""
    if not isinstance(probabilities, Tensor) or not probabilities.is_floating_point():
        got = f"dtype {probabilities.dtype}" if isinstance(probabilities, Tensor) else type(probabilities).__name__
        raise TypeError(
            f"{name}: got {got}, expected a float tensor of probabilities; use torch.tensor(..., dtype=float)"
        )
    if probabilities.ndim == 0 or 0 in probabilities.shape:
        raise ValueError(
            f"{name}: got shape {tuple(probabilities.shape)}, expected at least one probability along the last axis"
        )
    if probabilities.is_meta:
        raise ValueError(f"{name}: got a tensor on the meta device, which holds no values; give one on a CPU or GPU")

    def check(found: Sequence[float]) -> None:
        least, *sums = found
        if not least >= 0:
            raise ValueError(f"{name}: got a negative or NaN value, expected probabilities of at least 0; correct them")
        worst = max(sums, key=lambda total: abs(total - 1))
        if not abs(worst - 1) <= _SUM_TOLERANCE:
            raise ValueError(
                f"{name}: got probabilities whose sum is {worst:.6g}, expected 1; divide by {name}.sum(-1, "
                "keepdim=True)"
            )

    check_values((probabilities.min(), *probabilities.double().sum(-1).aminmax()), check)
    return probabilities


def check_same_device(name: str, device: torch.device, like_name: str, like_device: torch.device) -> None:
    if device != like_device:
        raise ValueError(
            f"{name}: got device {device}, expected {like_device} as in {like_name}; move it with .to(...)"
        )


def check_images(images: object, channels: int | None, dims: int, device: torch.device) -> Tensor:
    """Return images if they are floats (B, C, *size), not empty, and fit the model; else raise an error.

    size has `dims` dimensions. channels: the model's C, or None for any. device: the model's. `check_pixels` checks
    their values.
    """
    axes = "(B, C, H, W)" if dims == 2 else "(B, C, D, H, W)"
    if not isinstance(images, Tensor):
        raise TypeError(f"images: got {type(images).__name__}, expected a torch.Tensor; see torch.from_numpy")
    if images.ndim != dims + 2:
        missing = ", ".join(["None"] * (dims + 2 - images.ndim))
        advice = f"add axes with images[{missing}]" if missing else "drop or join axes"
        raise ValueError(f"images: got shape {tuple(images.shape)}, expected {axes}; {advice}")
    if not images.is_floating_point():
        raise TypeError(f"images: got {images.dtype}, expected floats scaled as in training, such as images / 255")
    if 0 in images.shape:
        raise ValueError(f"images: got the empty shape {tuple(images.shape)}, expected at least one image and pixel")
    if channels is not None and images.shape[1] != channels:
        raise ValueError(
            f"images: got {images.shape[1]} channels, expected {channels} as the model takes, C of {axes}; convert the "
            "images"
        )
    if images.device != device:
        raise ValueError(
            f"images: got device {images.device}, expected {device} as the model; use images.to({str(device)!r})"
        )
    return images


def pixel_range(images: Tensor) -> tuple[float, float]:
    """The smallest and the largest pixel; both are NaN if any is."""
    least, most = torch.stack(images.detach().aminmax()).tolist()
    return least, most


def check_pixels(least: float, most: float) -> None:
    """Raise ValueError for NaN or infinity among pixels, given their `pixel_range`."""
    if not math.isfinite(least) or not math.isfinite(most):
        raise ValueError(
            "images: got NaN or infinity, expected finite pixels; replace them, for example with "
            "torch.nan_to_num(images)"
        )
