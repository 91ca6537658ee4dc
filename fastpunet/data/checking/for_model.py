"""Compares images with what a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastpunet.data.checking.images import spacing_text
from fastpunet.data.checking.report import Report, listed, several, size_text
from fastpunet.data.checking.values import Looked
from fastpunet.data.inputs import Input
from fastpunet.models.method import Method

_SPACING = 1.25  # how many times larger or smaller than in training the spacing may be


def compare_with_model(report: Report, images: Sequence[Input], looked: Sequence[Looked], model: Method) -> None:
    """Add what the model expects, and the images that are different."""
    report.facts["model takes"] = _expected(model)
    _compare_shapes(report, images, model)
    if model.intensity is not None:
        ranges = [(one, model.intensity.outside(np.array([one.least, one.most]), one.image.name)) for one in looked]
        outside = [f"{one.image.name} ({one.range})" for one, message in ranges if message]
        if outside:
            report.problem(
                f"{several(len(outside), 'image')} with grey values unlike those of training, {model.intensity}: "
                f"{listed(outside)}; give --intensity, or convert them"
            )
    if model.spacing is not None:
        _compare_spacing(report, images, model.spacing)


def _compare_shapes(report: Report, images: Sequence[Input], model: Method) -> None:
    other = [f"{image.name} ({image.channels})" for image in images if image.channels != model.in_channels]
    if other:
        report.problem(
            f"{several(len(other), 'image')} with other channels than the model's {model.in_channels}: {listed(other)}"
        )
    flat = [image.name for image in images if len(image.size) == 2]
    if model.dims == 3 and flat:
        report.problem(f"the model takes volumes, not {several(len(flat), 'image')} of two dimensions: {listed(flat)}")
    if model.dims == 2 and len(flat) < len(images):
        report.note("the model takes images of two dimensions: volumes can be segmented slice by slice")


def _compare_spacing(report: Report, images: Sequence[Input], spacing: tuple[float, ...]) -> None:
    unknown = [image.name for image in images if image.spacing is None]
    if unknown:
        report.note(
            f"{several(len(unknown), 'image')} without a spacing, which was {spacing_text(spacing)} in training: "
            f"{listed(unknown)}"
        )
    far = [
        f"{image.name} ({spacing_text(image.spacing)})"
        for image in images
        if image.spacing is not None and _differs(image.spacing, spacing)
    ]
    if far:
        report.note(
            f"{several(len(far), 'image')} with another spacing than in training, {spacing_text(spacing)}, to which "
            f"fastpunet sample resamples them: {listed(far)}"
        )


def _differs(found: tuple[float, ...], trained: tuple[float, ...]) -> bool:
    """Whether axes that both have, the last ones, are of other lengths."""
    ratios = [a / b for a, b in zip(reversed(found), reversed(trained), strict=False)]
    return not all(1 / _SPACING <= ratio <= _SPACING for ratio in ratios)


def _expected(model: Method) -> str:
    facts = [several(model.in_channels, "channel"), f"{model.dims} dimensions"]
    facts += [f"grey values {model.intensity}"] if model.intensity is not None else []
    facts += [f"spacing {spacing_text(model.spacing)}"] if model.spacing is not None else []
    facts += [f"size {size_text(model.image_size)}"] if model.image_size is not None else []
    return ", ".join(facts)
