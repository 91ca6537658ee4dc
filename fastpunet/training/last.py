"""The checkpoint that a run goes on from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning

from fastpunet.training.steps import StepCallback


class LastCheckpoint(StepCallback):
    """Writes `path` every `every` steps, whole or not at all; to be the last of the callbacks.

    Lightning's own ModelCheckpoint counts batches: resumed, it may save between the parts of a step, without the
    gradient of those that are done.
    """

    def __init__(self, path: Path, every: int) -> None:
        self._path, self._every = path, every

    def after_step(self, trainer: lightning.Trainer, module: Any, step: int) -> None:  # noqa: ARG002
        if step % self._every == 0:
            partial = self._path.with_suffix(".partial")
            trainer.save_checkpoint(partial, weights_only=False)
            if trainer.is_global_zero:
                os.replace(partial, self._path)
