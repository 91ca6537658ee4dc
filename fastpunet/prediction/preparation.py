"""Turns an image as its file stores it into the images that a model takes, and names what does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.data.inputs import Input
from fastpunet.data.inputs.orienting import by_axis, orientation_of_input, oriented
from fastpunet.intensity import Intensity
from fastpunet.models.familiarity import Verdict, judge
from fastpunet.models.method import Method
from fastpunet.prediction.fitting import check_taken, spacing_of
from fastpunet.prediction.request import Request

UNUSUAL = "familiarity"  # the kind of warning that an image is unlike those that the model was checked on
_SAME_SPACING = 0.01  # relative
_MUCH_LARGER = 2.0  # times the size that the model was trained on
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's


@dataclass(frozen=True, eq=False)
class Prepared:
    """An input as the model takes it.

    source     the input, on the axes that the model was trained on
    images     float32 (B, C, *size): B slices of a volume for a model of two dimensions, else one image
    spacing    mm between pixels of the input along each axis of its size; None if it is unknown
    intensity  the rule by which its grey values became floats
    resampled  whether `images` are on another grid than the input, that of the model's spacing
    sha256     of the input's files
    verdict    whether it is like the images that the model was checked on
    warnings   what may make the hypotheses worthless: a sentence for each kind of doubt
    """

    source: Input
    images: Tensor
    spacing: tuple[float, ...] | None
    intensity: Intensity
    resampled: bool
    sha256: str
    verdict: Verdict
    warnings: dict[str, str]


def prepare(source: Input, method: Method, request: Request) -> Prepared:
    """Read an input for a model. Raises ValueError or OSError, naming the input, if it is not what the model takes."""
    check_taken(source, method, request)
    warnings: dict[str, str] = {}
    spacing = spacing_of(source, request)
    source = _as_the_model_lies(source, method, warnings)
    if spacing is not None and source.stored is not None:
        spacing = by_axis(spacing, source.stored.axes)
    sha256 = source.sha256()
    stored = _with_channels(source.read(), method.in_channels)
    rule = request.intensity or method.intensity or source.default_intensity
    if message := rule.outside(stored, source.name):
        warnings["grey values"] = message
    elif stored.min() == stored.max():
        warnings["grey values"] = (
            f"{source.name}: has the value {stored.flat[0]:g} everywhere, so there is nothing to segment"
        )
    images = torch.from_numpy(rule.apply(stored))
    images = images.movedim(1, 0) if len(source.size) > method.dims else images[None]
    images, resampled = _on_the_grid_of_training(images, spacing, method, source.name, warnings)
    if request.window is None:
        _compare_size(images, method, source.name, warnings)
    verdict = judge(method.familiarity, images)
    if verdict.level == "unusual":
        warnings[UNUSUAL] = f"{source.name}: {verdict.said}"
    return Prepared(source, images.contiguous(), spacing, rule, resampled, sha256, verdict, warnings)


def about_image(prepared: Prepared) -> dict[str, Any]:
    """What is known of an image and of how it reaches the model, for JSON."""
    source = prepared.source
    return {
        "format": source.format,
        "size": list(source.size),
        "channels": source.channels,
        "orientation": orientation_of_input(source),
        "spacing_mm": None if prepared.spacing is None else list(prepared.spacing),
        "intensity": str(prepared.intensity),
        "size_for_the_model": list(prepared.images.shape[2:]),
        "familiarity": {"level": prepared.verdict.level, "said": prepared.verdict.sentence},
    }


def _as_the_model_lies(source: Input, method: Method, warnings: dict[str, str]) -> Input:
    """The input on axes that lie in the body as those of the training did."""
    if method.orientation is not None and orientation_of_input(source) is None:
        warnings["orientation"] = (
            f"{source.name}: does not say how its axes lie in the body, but the model was trained on volumes in the "
            f"orientation {method.orientation}; its axes are taken as they are"
        )
    return oriented(source, method.orientation)


def _with_channels(stored: NDArray[Any], wanted: int) -> NDArray[Any]:
    """Stored values with the channels that the model takes: grey values as colours, or colours as grey values."""
    if len(stored) == wanted:
        return stored
    if wanted == 3:
        return np.repeat(stored, 3, axis=0)
    return np.tensordot(np.asarray(_LUMINANCE), stored.astype(np.float64), 1)[None]


def _on_the_grid_of_training(
    images: Tensor, spacing: tuple[float, ...] | None, method: Method, name: str, warnings: dict[str, str]
) -> tuple[Tensor, bool]:
    """The images with the spacing that the model was trained on, and whether that changed their grid."""
    if method.spacing is None:
        return images, False
    wanted = " x ".join(f"{step:g}" for step in method.spacing)
    if spacing is None:
        warnings["spacing"] = (
            f"{name}: does not say how many mm are between its pixels, but the model was trained on {wanted} mm; its "
            "pixels are taken as they are; give --spacing to have it resampled"
        )
        return images, False
    own = np.array(spacing[-method.dims :])
    if np.allclose(own, method.spacing, rtol=_SAME_SPACING, atol=0):
        return images, False
    size = np.rint(np.array(images.shape[2:]) * own / method.spacing).astype(int).clip(1)
    return resample(images, tuple(size.tolist())), True


def resample(values: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resample float (B, C, *size) to another size, linearly along each axis, with antialiasing where images shrink.

    The outer edges of the outermost pixels stay where they are.
    """
    planes = F.interpolate(
        values.flatten(1, -3), size[-2:], mode="bilinear", align_corners=False, antialias=True
    ).unflatten(1, values.shape[1:-2])
    if values.ndim == 4:
        return planes
    columns = planes.flatten(3)  # (B, C, D, H * W)
    stack = F.interpolate(columns, (size[0], columns.shape[3]), mode="bilinear", align_corners=False, antialias=True)
    return stack.unflatten(3, planes.shape[3:])


def _compare_size(images: Tensor, method: Method, name: str, warnings: dict[str, str]) -> None:
    trained, size = method.image_size, tuple(images.shape[2:])
    if trained is None:
        return
    if any(side > _MUCH_LARGER * usual for side, usual in zip(size, trained, strict=True)):
        window = " ".join(map(str, trained if method.dims == 3 else (max(trained),)))
        warnings["size"] = (
            f"{name}: has {_sides(size)} pixels at the resolution of the model, but the images in training had "
            f"{_sides(trained)}; crop it to the region of interest, or pass --window {window}"
        )


def _sides(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
