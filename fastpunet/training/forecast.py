"""Says how long a training run will take, once its first steps have been timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastpunet.optional import needed_for
from fastpunet.progress import duration
from fastpunet.training.steps import StepCallback

with needed_for("training", "train"):
    import lightning

_UNTIMED, _TIMED = 3, 10  # steps: the first ones set things up


class Forecast(StepCallback):
    """Times ten steps after the first three, and says how long the others will take, without validations."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._first, self._start = 0, 0.0

    def on_train_start(self, trainer: lightning.Trainer, module: object) -> None:
        super().on_train_start(trainer, module)
        self._first = trainer.global_step + _UNTIMED

    def after_step(self, trainer: lightning.Trainer, module: Any, step: int) -> None:  # noqa: ARG002
        if step == self._first:
            self._start = self._clock()
        left = trainer.max_steps - step
        if step == self._first + _TIMED and left and trainer.is_global_zero:
            seconds = (self._clock() - self._start) / _TIMED
            self._say(f"{seconds:.2g} s per step: the other {left} steps take about {duration(seconds * left)}")
