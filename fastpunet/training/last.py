"""Writes the checkpoint from which a run resumes: regularly, at the end and on interruption."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastpunet.files import replacing
from fastpunet.optional import needed_for
from fastpunet.training.steps import StepCallback

with needed_for("training", "train"):
    import lightning

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what job schedulers send


class Interrupted(Exception):
    """Raised after a signal asked the run to stop and its checkpoint was written."""


class LastCheckpoint(StepCallback):
    """Writes `path` every `every` steps and after the last one, whole or not at all. It must be the last callback.

    On Ctrl-C or SIGTERM the run finishes its optimiser step (and its validation, if that is due), writes the checkpoint
    and raises `Interrupted`. A second signal raises KeyboardInterrupt at once. Under torchrun all processes stop at the
    same step, even if only one of them received the signal.

    Lightning's own ModelCheckpoint counts batches. After a resume it may save between the parts of a step, without the
    gradient of the parts that are done.
    """

    def __init__(self, path: Path, every: int) -> None:
        self._path, self._every = path, every
        self._asked = False
        self.saved_step = 0
        """The step from which a resumed run continues."""

    def on_train_start(self, trainer: lightning.Trainer, module: object) -> None:
        super().on_train_start(trainer, module)
        self.saved_step = trainer.global_step
        if _may_set_handlers():
            for number in _SIGNALS:
                signal.signal(number, self._hear)

    def after_step(self, trainer: lightning.Trainer, module: Any, step: int) -> None:  # noqa: ARG002
        asked = self._asked
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked or step % self._every == 0 or step == trainer.max_steps or trainer.should_stop:
            self._save(trainer)
            self.saved_step = step
        if asked:
            raise Interrupted

    def _hear(self, *_: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        if os.isatty(2):
            os.write(2, b"\nfinishing this step; interrupt again to stop at once\n")

    def _save(self, trainer: lightning.Trainer) -> None:
        """All processes take part; the first one writes."""
        if trainer.is_global_zero:
            with replacing(self._path) as temporary:
                trainer.save_checkpoint(temporary, weights_only=False)
        else:
            trainer.save_checkpoint(self._path, weights_only=False)


@contextmanager
def handlers_restored() -> Iterator[None]:
    """A context that restores the signal handlers at its end, which Lightning does not always do."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        if _may_set_handlers():
            for number, handler in before.items():
                signal.signal(number, handler)


def _may_set_handlers() -> bool:
    return threading.current_thread() is threading.main_thread()
