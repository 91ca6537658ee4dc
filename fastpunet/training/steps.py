"""Callbacks that run once for each optimiser step, which may consist of several batches."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from fastpunet.optional import needed_for

with needed_for("training", "train"):
    import lightning


class StepCallback(lightning.Callback):
    """`after_step` runs once for every optimiser step of the run."""

    _done = 0

    @abstractmethod
    def after_step(self, trainer: lightning.Trainer, module: Any, step: int) -> None:
        """Called when `step` optimiser steps are done."""

    def on_train_start(self, trainer: lightning.Trainer, _: object) -> None:
        self._done = trainer.global_step

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: object) -> None:
        if trainer.global_step > self._done:
            self._done = trainer.global_step
            self.after_step(trainer, module, self._done)
