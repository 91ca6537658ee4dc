"""The curve of a run, in one table even if the run was interrupted."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from fastpunet.files import write_text
from fastpunet.optional import needed_for
from fastpunet.training.steps import StepCallback
from fastpunet.training.validation import Validation

with needed_for("training", "train"):
    import lightning


class Curve(StepCallback):
    """Writes a row every `every` steps and at each validation to curve.csv, which is complete at any moment.

    Lightning's own CSV log starts a new file at every resume, and loses unwritten rows when a run is killed. Here the
    rows are part of each checkpoint, and a resumed run writes the rows of repeated steps again.
    """

    def __init__(self, path: Path, every: int, validation: Validation | None) -> None:
        self._path, self._every, self._validation = path, every, validation
        self._rows: list[dict[str, float]] = []

    def after_step(self, trainer: lightning.Trainer, module: Any, step: int) -> None:
        scores = self._validation.scores if self._validation and self._validation.scored_step == step else {}
        if step % self._every and not scores and step != trainer.max_steps:
            return
        self._rows.append({"step": step, **module.latest(), **scores})
        if trainer.is_global_zero:
            write_text(self._path, self._table())

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rows = state["rows"]

    def _table(self) -> str:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        return text.getvalue()
