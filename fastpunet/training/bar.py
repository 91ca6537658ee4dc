"""Shows the progress of a training run."""

from __future__ import annotations

from typing import Any

from fastpunet.optional import needed_for
from fastpunet.progress import Progress
from fastpunet.training.steps import StepCallback

with needed_for("training", "train"):
    import lightning


class StepBar(StepCallback):
    """Shows the steps done, their rate and the time left: a bar on a terminal, an occasional line in a log.

    In a resumed run it counts only the steps that remained when the run was resumed.
    """

    _progress: Progress | None = None

    def on_train_start(self, trainer: lightning.Trainer, module: object) -> None:
        super().on_train_start(trainer, module)
        if trainer.is_global_zero:
            start, end = trainer.global_step, trainer.max_steps
            label = "training" if start == 0 else f"training from step {start} to {end}"
            self._progress = Progress(end - start, label, "step")

    def after_step(self, trainer: lightning.Trainer, module: Any, step: int) -> None:  # noqa: ARG002
        if self._progress is not None:
            self._progress.update(1)

    def on_train_end(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)

    def on_exception(self, *_: object) -> None:
        self.on_train_end()
