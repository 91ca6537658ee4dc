"""The images that a model was trained on, as its checkpoint describes them: intensity rule, spacing and size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastpunet.arguments import is_number
from fastpunet.intensity import Intensity
from fastpunet.models.method import Method


def describe_inputs(model: Method) -> dict[str, Any]:
    """The entries of a checkpoint's header that describe the model's images; what is unknown has no entry."""
    entries = {
        "intensity": None if model.intensity is None else model.intensity.to_dict(),
        "spacing": None if model.spacing is None else list(model.spacing),
        "image_size": None if model.image_size is None else list(model.image_size),
    }
    return {name: entry for name, entry in entries.items() if entry is not None}


def set_inputs(model: Method, header: Mapping[str, Any]) -> None:
    """Set the model's `intensity`, `spacing` and `image_size` from a header. Raises ValueError for odd entries."""
    intensity, spacing, size = (header.get(name) for name in ("intensity", "spacing", "image_size"))
    if spacing is not None and not (
        _has_one_an_axis(spacing, model.dims) and all(is_number(x) and x > 0 for x in spacing)
    ):
        raise ValueError(f"spacing: got {spacing!r:.80}, expected {model.dims} positive numbers of mm")
    if size is not None and not (_has_one_an_axis(size, model.dims) and all(type(x) is int and x > 0 for x in size)):
        raise ValueError(f"image_size: got {size!r:.80}, expected {model.dims} positive numbers of pixels")
    model.intensity = None if intensity is None else Intensity.from_dict(intensity)
    model.spacing = None if spacing is None else tuple(map(float, spacing))
    model.image_size = None if size is None else tuple(size)


def _has_one_an_axis(entry: object, dims: int) -> bool:
    return isinstance(entry, list) and len(entry) == dims
