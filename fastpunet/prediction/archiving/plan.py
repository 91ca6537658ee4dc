"""What an archive of many images would take, from drawing some of them here."""

from __future__ import annotations

import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from fastpunet.archive.layout import ITEMS, TABLE
from fastpunet.archive.root import make_root
from fastpunet.archive.table import write_table
from fastpunet.arguments import check_count
from fastpunet.data.inputs import Input
from fastpunet.prediction.archiving.engines.here import draw_here
from fastpunet.prediction.archiving.life import STALL_SECONDS
from fastpunet.prediction.archiving.run import check_input, shared
from fastpunet.prediction.archiving.task import Task
from fastpunet.prediction.archiving.threads import check_threads, processors
from fastpunet.prediction.folders import is_written
from fastpunet.prediction.opening import Outcome, open_inputs, open_model
from fastpunet.prediction.request import Request
from fastpunet.progress import duration

_PARTS = 6  # of the calibration, whose rates are compared with each other
_FEWEST = 4 * _PARTS  # images
_GOLDEN = 0.6180339887498949  # multiples of it, less their whole part, are evenly spread


@dataclass(frozen=True)
class Plan:
    """What `images` images would take on `workers` machines like this one, each doing nothing else.

    refused            of the inputs, files and images that cannot be drawn; they are not among the images
    drawn, seconds     images that were drawn here, and how long that took
    at_once            images that were computed at a time
    rate               images a second of one machine
    rate_error         standard error of the rate, as a share of it
    start              seconds until the first image: a process starts, the model is loaded
    image_bytes        of a drawn image in the archive, on average
    table_bytes        of its row in the table
    table_seconds      that its row takes to be written, at the end, by one process
    memory_bytes       the most that this process has used
    """

    images: int
    workers: int
    refused: int
    drawn: int
    seconds: float
    at_once: int
    rate: float
    rate_error: float
    start: float
    image_bytes: float
    table_bytes: float
    table_seconds: float
    memory_bytes: int

    @property
    def time(self) -> float:
        """Seconds until the archive is whole. Each worker reads, computes and writes at the rate that was measured."""
        return self.start + self.images / (self.rate * self.workers) + self.images * self.table_seconds

    @property
    def storage(self) -> float:
        """Bytes of the archive."""
        return self.images * (self.image_bytes + self.table_bytes)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "time": self.time, "storage": self.storage}

    def text(self, hourly: float | None = None) -> str:
        """The plan in words. hourly: what an hour of one worker costs."""
        beyond = "" if self.workers == 1 and self.images <= self.drawn else " (extrapolated)"
        lines = [
            f"measured here   {self.drawn} images in {self.seconds:.1f} s, {self.at_once} at a time: "
            f"{self.rate:.3g} images/s +- {100 * self.rate_error:.0f} %",
            "",
            f"{self.images:,} images, {self.workers} worker{'s' * (self.workers > 1)} like this one{beyond}",
            f"  time          {duration(self.time)}",
            f"  storage       {_bytes(self.storage)}",
            f"  memory        {_bytes(self.memory_bytes)} for each worker, however many images",
        ]
        if hourly is not None:
            lines.append(f"  cost          {hourly * self.workers * self.time / 3600:,.2f}, at {hourly:g} an hour")
        if self.refused:
            lines += ["", f"{self.refused} of the inputs cannot be drawn, and are left out."]
        if self.workers > 1:
            lines += [
                "",
                "It is assumed that workers do not slow each other down: storage that they share may do that.",
            ]
        return "\n".join(lines)


def plan(
    model: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    request: Request | None = None,
    *,
    images: int | None = None,
    workers: int = 1,
    seconds: float = 20.0,
    device: str = "auto",
    threads: int | None = None,
    scratch: str | os.PathLike[str] | None = None,
    say: Callable[[Outcome], None] = lambda _: None,
) -> Plan:
    """Draw some of the inputs for some seconds, and say what `images` of them would take.

    Args:
        model, paths, request, device, threads: as in `run_archive`. The inputs are taken in turns, evenly spread, and
            again if there are few, so that a few typical images stand for many.
        images: how many there will be; by default as many as there are inputs.
        workers: machines like this one, or processes with processors (or a GPU) of their own.
        seconds: how long to draw, at least; a few images more, if they take longer.
        scratch: a folder on the storage that the archive will be on; by default that for temporary files.
        say: is called with what is wrong with each input that cannot be drawn.

    Raises ValueError, TypeError or OSError for a request that cannot be met, or if an image fails.
    """
    begin = time.monotonic()
    request = request or Request()
    workers, threads = check_count("workers", workers), 1 if threads is None else check_threads(threads)
    if not seconds > 0:
        raise ValueError(f"seconds: got {seconds}, expected a positive number")
    opened = open_model(model, request, device)
    found = open_inputs(paths, is_written, partial(check_input, method=opened.sampler.method, request=request))
    for outcome in found.refused:
        say(outcome)
    images = len(found.inputs) if images is None else check_count("images", images)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        archive = Path(folder, "plan.zarr")
        about = make_root(archive, json.loads(json.dumps(shared(opened, request, threads))))
        task = Task(os.fspath(model), request, opened.sampler.device.type, threads, STALL_SECONDS, archive, about)
        at_once = 1 if opened.sampler.device.type == "cuda" else max(1, processors() // threads)
        work = task.work(opened, at_once)
        done: list[float] = []
        end = time.monotonic() + seconds
        with task.computing():
            sources = _until(lambda: time.monotonic() > end and len(done) >= _FEWEST, found.inputs)
            for outcome in draw_here(work, sources, at_once, task.stall_seconds):
                if outcome.status == "failed":
                    raise ValueError(outcome.message)
                done.append(time.monotonic())
        drawn = (file for file in (archive / ITEMS).glob("*/*/**/*") if file.is_file())
        image_bytes = sum(file.stat().st_size for file in drawn) / len(done)
        written = time.monotonic()
        rows = write_table(archive, about)
        table_seconds = (time.monotonic() - written) / rows
        table_bytes = (archive / TABLE).stat().st_size / rows
    rate, error = _rate(done)
    return Plan(
        images=images,
        workers=workers,
        refused=len(found.refused),
        drawn=len(done),
        seconds=done[-1] - begin,
        at_once=at_once,
        rate=rate,
        rate_error=error,
        start=max(0.0, done[0] - begin - at_once / rate),
        image_bytes=image_bytes,
        table_bytes=table_bytes,
        table_seconds=table_seconds,
        memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _until(enough: Callable[[], bool], sources: Sequence[Input]) -> Iterator[Input]:
    """The sources, evenly spread, again and again under other names, until it is enough."""
    for place in count():
        if enough():
            return
        source = sources[int(place * _GOLDEN % 1 * len(sources))]
        yield replace(source, name=f"{source.name}-{place}")


def _rate(done: list[float]) -> tuple[float, float]:
    """Images a second behind the first part, which warms up, and the standard error as a share."""
    edges = [done[(len(done) - 1) * part // _PARTS] for part in range(_PARTS + 1)]
    counts = [(len(done) - 1) * (part + 1) // _PARTS - (len(done) - 1) * part // _PARTS for part in range(_PARTS)]
    each = [(after - before) / number for before, after, number in zip(edges[1:], edges[2:], counts[1:], strict=False)]
    mean = (edges[-1] - edges[1]) / sum(counts[1:])
    return 1 / mean, statistics.stdev(each) / len(each) ** 0.5 / mean


def _bytes(number: float) -> str:
    """A number of bytes for people.

    >>> _bytes(1_530_000)
    '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError
