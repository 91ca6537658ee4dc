"""Formats an evaluation of class flips as Markdown and for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from fastpunet.data.flips import modes
from fastpunet.reports.json_values import json_values
from fastpunet.reports.tables import DASH, markdown
from fastpunet.scoring.flip_evaluation import FlipsEvaluation, column_means

_TITLES = {
    "total_variation": "modes, total variation",
    "value": "GED^2 (V)",
    "unbiased": "GED^2 (U)",
    "cross": "E d(S,Y)",
    "sample_diversity": "E d(S,S')",
    "reference_diversity": "E d(Y,Y')",
}


def flips_table(result: FlipsEvaluation, names: Mapping[int, str] | None = None) -> str:
    """A Markdown table with a row for each class, and one with a row for each joint score. names: of the classes."""
    heads = ["class", "flipped in truth", "of hypotheses", "95 % interval", "of pixels", "95 % interval"]
    classes = [[*heads, "undecided", "images"]]
    image, pixel = result.image_frequencies(), result.pixel_frequencies()
    undecided = column_means(result.undecided).mean
    for i, (label, truth) in enumerate(result.probabilities.items()):
        name = f"class {label}" if names is None else names[label]
        found = [text for estimate in (image, pixel) for text in _cells(*(ends[i] for ends in estimate))]
        classes.append([name, f"{truth:.3f}", *found, _number(undecided[i]), str(result.present[:, i].sum())])
    together = [[f"{result.n} hypotheses an image", "mean", "95 % interval", "a perfect sampler"]]
    for score, (*estimate, perfect) in result.scores().items():
        together.append([_TITLES[score], *_cells(*estimate), _number(perfect)])
    variation, floor = result.pooled_variation()
    pooled = f"the same, {result.complete.sum()} images with all classes pooled"
    together.insert(2, [pooled, _number(variation), DASH, _number(floor)])
    return f"{markdown(classes)}\n\n{markdown(together)}"


def flips_content(result: FlipsEvaluation) -> dict[str, Any]:
    """The fields and all estimates for JSON: arrays are lists, undefined values None."""
    flipped, exact = modes(result.probabilities)
    return {
        **{field.name: json_values(getattr(result, field.name)) for field in fields(result)},
        "images": [{"id": image.id, "name": image.name, "patient": image.patient} for image in result.images],
        "mode_classes": [[label for label, on in zip(result.probabilities, row, strict=True) if on] for row in flipped],
        "mode_probabilities": exact.tolist(),
        "image_frequencies": json_values(result.image_frequencies()._asdict()),
        "pixel_frequencies": json_values(result.pixel_frequencies()._asdict()),
        "mode_frequencies": json_values(result.mode_frequencies()._asdict()),
        "pooled_variation": json_values(dict(zip(("mean", "perfect"), result.pooled_variation(), strict=True))),
        "scores": {name: json_values(score._asdict()) for name, score in result.scores().items()},
    }


def _cells(mean: float, low: float, high: float) -> tuple[str, str]:
    return _number(mean), DASH if np.isnan(low) else f"{low:.3f} to {high:.3f}"


def _number(value: float) -> str:
    return DASH if np.isnan(value) else f"{value:.3f}"
