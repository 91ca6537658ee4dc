"""Hands pictures to a trainer's loggers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastpunet.optional import needed_for

with needed_for("training", "train"):
    import lightning


def log_picture(trainer: lightning.Trainer, name: str, picture: NDArray[np.uint8]) -> bool:
    """Log an RGB picture, uint8 (H, W, 3), at this step in TensorBoard's logs; returns whether the trainer has any."""
    experiments = [logger.experiment for logger in trainer.loggers]
    takers = [experiment for experiment in experiments if hasattr(experiment, "add_image")]
    for taker in takers:
        taker.add_image(name, picture, trainer.global_step, dataformats="HWC")
    return bool(takers)
