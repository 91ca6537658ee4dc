"""The modes and measures of a page's hypotheses, for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastpunet.hypotheses import Modes, measure, modes
from fastpunet.hypotheses.measures.estimates import number, title, with_unit
from fastpunet.reports.page.compact import compact
from fastpunet.reports.page.drawn_cases import DrawnCase

_MEASURES = ("area", "longest_diameter", "perpendicular_diameter")


def class_alternatives(case: DrawnCase) -> list[dict[str, Any]]:
    """`Alternatives` of case.ts for each class but 0, with that class as the foreground."""
    labels = torch.from_numpy(case.labels)
    return [_of_class(labels == label, label, case) for label in range(1, case.classes)]


def _of_class(foreground: Tensor, label: int, case: DrawnCase) -> dict[str, Any]:
    unit = None if case.request.unit == "auto" else case.request.unit
    measured = measure(foreground[None], _MEASURES, spacing=case.subject.prepared.spacing, unit=unit)
    found = modes(foreground[None], case.request.modes or None)[0]
    units = {name: measured.units[name].replace("^2", "²") for name in _MEASURES}
    return {
        "label": label,
        "modes": _modes(found, measured.values["area"][0], units["area"]),
        "members": compact(found.members.numpy().astype(np.uint8)),
        "measures": [
            {
                "name": title(name),
                "unit": units[name],
                "values": compact(measured.values[name][0].numpy().astype(np.float32)),
            }
            for name in _MEASURES
        ],
    }


def _modes(found: Modes, areas: Tensor, unit: str) -> list[dict[str, Any]]:
    """Each mode, called after the area of its representative."""
    rows = zip(found.probabilities.tolist(), found.intervals.tolist(), found.hypotheses.tolist(), strict=True)
    return [
        {
            "probability": probability,
            "interval": interval,
            "hypothesis": hypothesis,
            "name": _name(float(areas[hypothesis]), unit),
        }
        for probability, interval, hypothesis in rows
    ]


def _name(area: float, unit: str) -> str:
    if not area:
        return "nothing"
    return f"{area:,.0f} pixel{'' if area == 1 else 's'}" if unit == "px²" else with_unit(number(area), unit)
