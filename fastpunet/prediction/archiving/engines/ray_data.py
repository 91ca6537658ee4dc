"""Draws images on a Ray cluster: Ray Data spreads them over a pool of workers, each with a model of its own.

Ray restarts workers that die, and gives what they had to others, also if a whole machine is lost. An image that a lost
worker had finished is found in the archive and kept.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fastpunet.archive.tries import Tries
from fastpunet.data.inputs import Input
from fastpunet.optional import require
from fastpunet.prediction.archiving.engines.here import draw_here
from fastpunet.prediction.archiving.task import Task
from fastpunet.prediction.opening import Outcome

_IMAGES = 8  # that a worker is given at a time
_MOST_TRIES = 5  # of an image while which workers end
_BLOCKS = 200  # of images, that Ray spreads over workers, at least


class _Worker:
    """A process of the pool. Ray makes it with the task, and calls it with some images at a time."""

    def __init__(self, task: Task) -> None:
        self._task, self._tries = task, Tries(task.archive)
        self._work = replace(task.open(), tries=self._tries)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        with self._task.computing():
            outcomes = list(self._drawn([pickle.loads(source) for source in batch["source"]]))
        return {
            "name": [outcome.name for outcome in outcomes],
            "status": [outcome.status for outcome in outcomes],
            "message": [outcome.message for outcome in outcomes],
            "warnings": [json.dumps(dict(outcome.warnings)) for outcome in outcomes],
        }

    def _drawn(self, sources: list[Input]) -> Iterator[Outcome]:
        """Those images alone, and last, while which a worker ended before: one of them may have made it end."""
        before = {source.name: self._tries.before(source.name) for source in sources}
        groups = [[source for source in sources if not before[source.name]]]
        groups += [[source] for source in sources if 0 < before[source.name] < _MOST_TRIES]
        for group in groups:
            yield from draw_here(self._work, group, 1, self._task.stall_seconds)
        for name, count in before.items():
            if count >= _MOST_TRIES:
                yield Outcome(name, "failed", f"{name}: {count} workers ended while they drew it; draw it by itself")


def draw_by_ray(task: Task, sources: Sequence[Input], workers: int | None) -> Iterator[Outcome]:
    """The outcomes of all sources, in the order in which they are done.

    The cluster is that of RAY_ADDRESS or of a `ray.init` before, else this machine. workers: how many there may be at
    most; None lets Ray have as many as the cluster has processors (or GPUs) for. All machines see the images, the model
    and the archive under the same paths. Raises ModuleNotFoundError without Ray.
    """
    ray = require("ray", "drawing on a cluster", "ray")
    data = require("ray.data", "drawing on a cluster", "ray")
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a Ray of our own reports nothing to anybody
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    on_gpu = task.device.startswith("cuda")
    images = data.from_items(
        [{"source": pickle.dumps(source)} for source in sources],
        override_num_blocks=min(len(sources), max(_BLOCKS, len(sources) // _IMAGES // 100)),
    )
    drawn = images.map_batches(
        _Worker,
        fn_constructor_args=(task,),
        batch_size=_IMAGES,
        num_cpus=None if on_gpu else task.threads,
        num_gpus=1 if on_gpu else None,
        compute=data.ActorPoolStrategy(min_size=1, max_size=workers),
    )
    for row in drawn.iter_rows():
        yield Outcome(row["name"], row["status"], row["message"], json.loads(row["warnings"]))
