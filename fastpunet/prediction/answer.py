"""Writes what the hypotheses of one image say: masks, maps, measures and modes, and all of it in numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastpunet.data.writing import write_hypotheses, write_map
from fastpunet.files import write_text
from fastpunet.hypotheses import Modes
from fastpunet.hypotheses.display import percent
from fastpunet.prediction.drawing import Drawn
from fastpunet.prediction.folders import ANSWER_FILE
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.preparation import Prepared
from fastpunet.prediction.request import Request
from fastpunet.prediction.statement import state

MEASURES_FILE = "measures.csv"


def write_answer(
    folder: Path, prepared: Prepared, drawn: Drawn, num_classes: int, request: Request, about: Mapping[str, Any]
) -> str:
    """Write the files of one image's answer into a folder that exists, and return the answer in a sentence.

    about: what all answers of the run share, for `answer.json`, which is written last. Raises ValueError or OSError.
    """
    said = state(prepared, drawn, id_of(prepared.source.name), num_classes, request, about)
    write_text(folder / MEASURES_FILE, said.table)
    pictures = _write_pictures(folder, prepared, drawn, said.modes, num_classes, request)
    content = {**said.content, "written": [path.name for path in pictures]}
    write_text(folder / ANSWER_FILE, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return said.sentence


def _write_pictures(
    folder: Path, prepared: Prepared, drawn: Drawn, found: Modes | None, num_classes: int, request: Request
) -> list[Path]:
    """Hypotheses, modes and maps, each in the format that was asked for."""
    image, form = prepared.source, request.format
    written = write_hypotheses(folder, image, drawn.labels.numpy(), num_classes=num_classes, format=form)
    if found is not None:
        titles = [f"mode {place + 1}, {percent(p)}" for place, p in enumerate(found.probabilities.tolist())]
        written += write_hypotheses(
            folder, image, found.masks.numpy(), num_classes=num_classes, stem="modes", titles=titles, format=form
        )
    if drawn.mean is not None:
        mean = drawn.mean[0] if len(drawn.mean) == 1 else drawn.mean
        written += write_map(folder, image, mean.numpy(), stem="mean", format=form)
    if drawn.entropy is not None:
        largest = math.log(max(2, num_classes))
        written += write_map(folder, image, drawn.entropy.numpy(), stem="entropy", largest=largest, format=form)
    return written
