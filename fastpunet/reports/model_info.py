"""Reports what a checkpoint holds."""

from __future__ import annotations

import os
from typing import Any

from fastpunet.models import checkpoint
from fastpunet.models.calibration import Calibration, Reliability
from fastpunet.models.header_entries import describe
from fastpunet.reports.tables import markdown


def model_facts(source: str | os.PathLike[str]) -> dict[str, Any]:
    """What `model_info` says, as values for JSON, by the names that a checkpoint's header has.

    Raises the errors of `load`.
    """
    model = checkpoint.load(source)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"method": model.name, "config": model.config, "parameters": parameters, **describe(model)}


def model_info(source: str | os.PathLike[str]) -> str:
    """Architecture, images of the training, familiarity and calibration of a checkpoint, as text.

    Raises the errors of `load`.
    """
    model = checkpoint.load(source)
    size, spacing = (
        None if values is None else " x ".join(f"{value:g}" for value in values)
        for values in (model.image_size, model.spacing)
    )
    known = {
        "method": model.name,
        **{name: str(value) for name, value in model.config.items()},
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        "grey values": str(model.intensity or "unknown"),
        "spacing, mm": spacing or "unknown",
        "image size": size or "unknown",
        **({"orientation": model.orientation or "unknown"} if model.dims == 3 or model.orientation else {}),
    }
    width = max(map(len, known))
    lines = [f"{name:<{width}}  {value}" for name, value in known.items()]
    usual = model.familiarity or "which images are usual is unknown: fastpunet calibrate measures it"
    seen = (
        model.training_images or "which images it was trained on is unknown, so fastpunet evaluate cannot warn of them"
    )
    lines += ["", str(usual), "", str(seen)]
    if model.calibration is None:
        return "\n".join([*lines, "", "calibration is unknown: fastpunet calibrate measures it"])
    return "\n".join([*lines, "", str(model.calibration), *_tables(model.calibration)])


def _tables(calibration: Calibration) -> list[str]:
    """A table for each reliability diagram."""
    parts = {
        "presence: share of hypotheses that outline anything": calibration.presence,
        "pixels: share of hypotheses": calibration.pixels,
        "volume: quantile of the hypotheses": calibration.volume,
    }
    return [text for title, part in parts.items() if part for text in ("", _table(title, part))]


def _table(title: str, part: Reliability) -> str:
    rows = [[title, "share of graders", "predictions"]]
    for count, predicted, observed in zip(part.count, part.predicted, part.observed, strict=True):
        rows.append([f"{predicted:.3f}", f"{observed:.3f}", f"{count:,.0f}"])
    return markdown(rows)
