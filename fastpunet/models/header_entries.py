"""What a checkpoint says of its model besides the architecture: the images that it takes, and its calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastpunet.arguments import is_number
from fastpunet.intensity import Intensity
from fastpunet.models.calibration import Calibration
from fastpunet.models.card import ABOUT
from fastpunet.models.familiarity import Familiarity
from fastpunet.models.image_statistics import statistics_of
from fastpunet.models.method import Method
from fastpunet.models.orientation import check_orientation
from fastpunet.models.training_images import TrainingImages

# What is not read off the weights' shapes.
UNTOLD = ("posterior_input", "log_sigma_bound", "prior_scale", "prior", "kernel_sizes", "pool_sizes")
UNTOLD_KEY = "fastpunet"  # where our models' state dicts hold it, in the metadata of the network's module


def untold(metadata: object) -> dict[str, Any]:
    """What the metadata of a ProbabilisticUNet's state dict says beside the weights; {} of other models'."""
    entries = metadata.values() if isinstance(metadata, Mapping) else ()
    said = (entry.get(UNTOLD_KEY) for entry in entries if isinstance(entry, Mapping))
    found = next((entry for entry in said if isinstance(entry, Mapping)), {})
    return {name: found[name] for name in UNTOLD if name in found}


def describe(model: Method) -> dict[str, Any]:
    """The entries of a checkpoint's header about the model's images and calibration; what is unknown has no entry."""
    entries = {
        "intensity": None if model.intensity is None else model.intensity.to_dict(),
        "spacing": None if model.spacing is None else list(model.spacing),
        "orientation": model.orientation,
        "image_size": None if model.image_size is None else list(model.image_size),
        "calibration": None if model.calibration is None else model.calibration.to_dict(),
        "familiarity": None if model.familiarity is None else model.familiarity.to_dict(),
        "training_images": None if model.training_images is None else model.training_images.to_dict(),
        "about": model.about or None,
    }
    return {name: entry for name, entry in entries.items() if entry is not None}


def set_described(model: Method, header: Mapping[str, Any]) -> None:
    """Set what `describe` gave from a header. Raises ValueError for odd entries."""
    intensity, spacing, size = (header.get(name) for name in ("intensity", "spacing", "image_size"))
    calibration, familiarity, about = (header.get(name) for name in ("calibration", "familiarity", "about"))
    if about is not None and not (
        isinstance(about, dict) and set(about) <= set(ABOUT) and all(isinstance(text, str) for text in about.values())
    ):
        raise ValueError(f"about: got {about!r:.80}, expected texts under names among {', '.join(ABOUT)}")
    if spacing is not None and not (
        _has_one_an_axis(spacing, model.dims) and all(is_number(x) and x > 0 for x in spacing)
    ):
        raise ValueError(f"spacing: got {spacing!r:.80}, expected {model.dims} positive numbers of mm")
    if size is not None and not (_has_one_an_axis(size, model.dims) and all(type(x) is int and x > 0 for x in size)):
        raise ValueError(f"image_size: got {size!r:.80}, expected {model.dims} positive numbers of pixels")
    model.intensity = None if intensity is None else Intensity.from_dict(intensity)
    model.spacing = None if spacing is None else tuple(map(float, spacing))
    orientation = header.get("orientation")
    model.orientation = None if orientation is None else check_orientation(orientation)
    model.image_size = None if size is None else tuple(size)
    model.calibration = None if calibration is None else Calibration.from_dict(calibration)
    model.familiarity = None if familiarity is None else Familiarity.from_dict(familiarity)
    seen = header.get("training_images")
    model.training_images = None if seen is None else TrainingImages.from_dict(seen)
    model.about = about
    expected = statistics_of(model.in_channels)
    if model.familiarity is not None and len(model.familiarity.mean) != expected:
        raise ValueError(
            f"familiarity: mean has {len(model.familiarity.mean)} numbers, expected the {expected} statistics of "
            f"images with {model.in_channels} channels"
        )


def hand_on(model: Method, copy: Method) -> None:
    """Set what is known of a model's making and images on a copy whose weights differ.

    The calibration and the scores are left out, because they were those of the other weights.
    """
    known = {name: entry for name, entry in describe(model).items() if name != "calibration"}
    about = {name: text for name, text in (model.about or {}).items() if name != "scores"}
    set_described(copy, {**known, "about": about or None})


def _has_one_an_axis(entry: object, dims: int) -> bool:
    return isinstance(entry, list) and len(entry) == dims
