"""Validation while training: it computes diagnostics, keeps the best weights, and decides when to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastpunet.data import Records
from fastpunet.metrics import Convention
from fastpunet.models import checkpoint
from fastpunet.optional import needed_for
from fastpunet.scoring.drawing import draw_records
from fastpunet.training.config import TrainingConfig
from fastpunet.training.diagnostics import diagnose
from fastpunet.training.picture_log import log_picture
from fastpunet.training.pictures import sample_picture
from fastpunet.training.steps import StepCallback

with needed_for("training", "train"):
    import lightning

SAMPLES = 16  # number of hypotheses per image, as in the tables of papers
_SEED = 0  # the noise is the same each time, so that scores differ by the weights alone
_SHOWN = 6  # images, and hypotheses of each, in the logged picture


class Validation(StepCallback):
    """Every config.validate_every steps, and after the last, scores the model and keeps the best weights at `best`.

    The best weights have the lowest energy distance. Validation runs before the checkpoint of the same step is written,
    so that a run killed in between repeats it. Its state is part of the checkpoint. Every process scores all records,
    so that all of them select the same weights.
    """

    def __init__(self, records: Records, convention: Convention, config: TrainingConfig, best: Path) -> None:
        self._records, self._convention, self._config, self._best = records, convention, config, best
        self._score, self._step, self._misses = float("inf"), 0, 0
        self.scores: dict[str, float] = {}
        self.scored_step = -1

    def after_step(self, trainer: lightning.Trainer, module: Any, step: int) -> None:
        config = self._config
        if step % config.validate_every and step != config.steps:
            return
        scores = diagnose(
            module.model,
            self._records,
            self._convention,
            n=SAMPLES,
            seed=_SEED,
            objective=module.objective,
        )
        self.scores, self.scored_step = {f"validation_{name}": value for name, value in scores.items()}, step
        module.log_dict(self.scores, batch_size=1)
        self._log_picture(trainer, module)
        if scores["energy_distance"] < self._score:
            self._score, self._step, self._misses = scores["energy_distance"], step, 0
            if trainer.is_global_zero:
                checkpoint.save(module.model, self._best)
        else:
            self._misses += 1
        if config.patience and self._misses >= config.patience:
            trainer.should_stop = True

    def summary(self) -> dict[str, float]:
        """The entries about the selected weights for the run's report."""
        return {"best_step": self._step, "best_validation_energy_distance": round(self._score, 4)}

    def state_dict(self) -> dict[str, Any]:
        return {"score": self._score, "step": self._step, "misses": self._misses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._score, self._step, self._misses = state["score"], state["step"], state["misses"]

    def _log_picture(self, trainer: lightning.Trainer, module: Any) -> None:
        records = [self._records[i] for i in range(min(_SHOWN, len(self._records)))]
        if len({record.image.shape for record in records}) > 1:
            return
        hypotheses = [
            drawn.samples.unpack().cpu().numpy()
            for drawn in draw_records(module.model, records, _SHOWN, seed=_SEED, fewer=True)
        ]
        log_picture(trainer, "samples", sample_picture(records, np.concatenate(hypotheses)))
