"""What a worker on any machine needs to draw images into an archive, in a form that can be sent to it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastpunet.prediction.archiving.threads import threads as computing_threads
from fastpunet.prediction.archiving.turns import Turns
from fastpunet.prediction.archiving.work import Work
from fastpunet.prediction.opening import OpenedModel, open_model
from fastpunet.prediction.request import Request


@dataclass(frozen=True)
class Task:
    """What to draw, by which model, into which archive.

    model    as on the command line; the same path must lead to it on all machines
    device   "cpu", "cuda" or "auto"
    threads  with which each image is computed on a CPU
    stall_seconds  after which an image is given up for which nothing is done
    about    what all images of the archive share, as `make_root` returns it
    """

    model: str
    request: Request
    device: str
    threads: int
    stall_seconds: float
    archive: Path
    about: Mapping[str, Any]

    def open(self) -> Work:
        """Load the model. Raises ValueError if it is another than that of the archive."""
        return self.work(open_model(self.model, self.request, self.device))

    def work(self, opened: OpenedModel, at_once: int = 1) -> Work:
        """What draws with a model that is loaded, `at_once` images at a time."""
        if opened.about["model"]["sha256"] != self.about["model"]["sha256"]:
            raise ValueError(
                f"model: {self.model} is not the same file here as on the machine where the run began; copy it to all "
                "machines, and pass --skip-existing to go on"
            )
        return Work(opened.sampler, self.request, self.archive, self.about, Turns(at_once))

    def computing(self) -> AbstractContextManager[None]:
        """A context in which PyTorch and the kernels compute with so many threads."""
        return computing_threads(self.threads)
