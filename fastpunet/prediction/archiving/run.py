"""One run of `fastpunet sample` into an archive."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from fastpunet.archive.committing import sweep
from fastpunet.archive.layout import TABLE
from fastpunet.archive.log import Log
from fastpunet.archive.table import write_table
from fastpunet.arguments import check_choice
from fastpunet.data.inputs import Input
from fastpunet.data.reading import one_line
from fastpunet.files import check_folder
from fastpunet.models.checkpoint_sources import shipped
from fastpunet.models.method import Method
from fastpunet.optional import require
from fastpunet.prediction.archiving.engines.here import draw_here
from fastpunet.prediction.archiving.engines.ray_data import draw_by_ray
from fastpunet.prediction.archiving.going_on import begin, mixture
from fastpunet.prediction.archiving.item import computed_with
from fastpunet.prediction.archiving.life import STALL_SECONDS, check_stall
from fastpunet.prediction.archiving.measured import measure_names
from fastpunet.prediction.archiving.packed import packed_bytes
from fastpunet.prediction.archiving.shard import Shard
from fastpunet.prediction.archiving.task import Task
from fastpunet.prediction.archiving.threads import check_threads, processors
from fastpunet.prediction.fitting import check_fits, check_memory
from fastpunet.prediction.folders import alone, among_others, is_written
from fastpunet.prediction.opening import OpenedModel, Outcome, open_inputs, open_model
from fastpunet.prediction.request import Request
from fastpunet.progress import Progress
from fastpunet_kernels import environment

ENGINES = ("local", "ray", "torchrun")
_IN_FOLDERS_ONLY = ("modes", "thresholds", "format")  # what an archive does not hold


def run_archive(
    model: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    request: Request | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    engine: str = "local",
    shard: Shard | None = None,
    workers: int | None = None,
    stall_seconds: float = STALL_SECONDS,
    say: Callable[[Outcome], None] | None = None,
) -> Counter[str]:
    """Draw the hypotheses of every input into an archive (see `fastpunet.archive.layout`).

    Args:
        model, paths, request, device: as in `fastpunet.prediction.run.run`.
        output: the archive, NAME.zarr; it is made if it is missing.
        threads: with which each image is computed on a CPU, 1 for None. As many images as there are processors for are
            computed at a time. The number of threads changes rounding, so it is part of the request.
        overwrite: replace an archive that is there.
        skip_existing: go on with one: its images are kept, if the same was asked of the same model.
        engine: "local", threads of this process; "ray", the workers of a Ray cluster; "torchrun", this process as one
            of those that torchrun started.
        shard: draw only this share of the images, while other processes draw the others into the same archive, which
            need not be new. The table is written whenever a process ends and no other writes there.
        workers: how many Ray workers there may be at most.
        stall_seconds: an image for which nothing was done for so long is given up; it fails, and the rest is drawn.
        say: is called with each outcome as it comes.

    Returns how many images are "done", "kept" and "failed". An image that fails for whatever reason, a full disk
    included, fails alone, and its line in `log.jsonl` says why; the next run tries it again. Memory does not grow with
    the number of images, apart from their names. Raises ValueError, TypeError or OSError, before anything is drawn, for
    a request that cannot be met for any input.
    """
    request = request or Request()
    threads, stall_seconds = 1 if threads is None else check_threads(threads), check_stall(stall_seconds)
    if overwrite and skip_existing:
        raise ValueError("skip_existing: got overwrite as well, expected one of them")
    check_choice("engine", engine, ENGINES)
    for module in ("zarr", "pyarrow"):  # before anything is made
        require(module, "writing archives", "cluster")
    if engine == "torchrun":
        if shard is not None:
            raise ValueError(
                f"shard: got {shard.index}/{shard.count} for engine torchrun, which gives each of its processes a "
                "share; leave it out"
            )
        shard = Shard.of_torchrun()
    if shard is not None and overwrite:
        raise ValueError(
            "overwrite: got a share of an archive as well, and each share would delete what the others wrote; delete "
            "the archive before the first share starts"
        )
    if workers is not None and engine != "ray":
        raise ValueError(
            f"workers: got {workers} for engine {engine}, expected engine ray; leave it out, or see --threads"
        )
    for name in _IN_FOLDERS_ONLY:
        if getattr(request, name) not in (None, ()):
            raise ValueError(
                f"{name}: got {getattr(request, name)!r}, which an archive does not hold; write to a folder instead"
            )
    path = Path(output).resolve() if Path(output).is_symlink() else Path(output)
    check_folder("output", path)
    opened = open_model(model, request, device)
    found = open_inputs(paths, is_written, partial(check_input, method=opened.sampler.method, request=request))
    goes_on, asked = skip_existing or shard is not None, shared(opened, request, threads)
    about = begin(path, asked, found.inputs, overwrite=overwrite, skip_existing=goes_on)
    tally: Counter[str] = Counter()
    log = Log(path)

    def note(outcome: Outcome) -> None:
        tally[outcome.status] += 1
        if outcome.status == "failed" or outcome.warnings:
            doubts = list(outcome.warnings.values())
            log.note(name=outcome.name, status=outcome.status, message=outcome.message, warnings=doubts)
        if say is not None:
            say(outcome)

    if warning := mixture(path, about, asked):
        log.note(status="warning", message=warning)
        if say is not None:
            say(Outcome("", "kept", warnings={"rounding": warning}))
    sources = found.inputs if shard is None else shard.of(found.inputs)
    with ExitStack() as held:
        if shard is None:
            held.enter_context(alone(path))
            sweep(path)
        last = (lambda: True) if shard is None else held.enter_context(among_others(path))
        for outcome in found.refused if shard is None or shard.index == 0 else ():
            note(outcome)
        device = opened.sampler.device.type
        task = Task(os.fspath(model), request, device, threads, stall_seconds, path.absolute(), about)
        try:
            with Progress(len(sources), "sampling", "image") as progress:
                for outcome in draw_by_ray(task, sources, workers) if engine == "ray" else _here(task, opened, sources):
                    note(outcome)
                    progress.update(1)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; {tally['done']} of {len(sources)} images are drawn; pass --skip-existing to go on"
            ) from None
        if last():
            sweep(path)
            try:
                write_table(path, about)
            except OSError as error:
                note(Outcome("", "failed", f"{TABLE} cannot be written: {one_line(error)}; go on with --skip-existing"))
    return tally


def check_input(source: Input, method: Method, request: Request) -> None:
    """Raise ValueError, naming the input, for one that cannot be drawn into an archive here."""
    check_fits(source, method, request)
    check_memory(source, method, request, packed_bytes(source, method))


def _here(task: Task, opened: OpenedModel, sources: Sequence[Input]) -> Iterator[Outcome]:
    """Draw by threads of this process, which shares its processors with the others that torchrun started here."""
    share = processors() // (task.threads * environment.processes()[1])
    at_once = 1 if opened.sampler.device.type == "cuda" else max(1, share)
    with task.computing():
        yield from draw_here(task.work(opened, at_once), sources, at_once, task.stall_seconds)


def shared(opened: OpenedModel, request: Request, threads: int) -> dict[str, Any]:
    """What all images of an archive share, and by what it was begun (`computed`)."""
    names = [name for dims in (2, 3) for name in measure_names(dims, request)]
    computed = {key: value for key, value in computed_with(opened.sampler).items() if key != "threads"}
    source = opened.about["model"]["source"]
    if source not in shipped() and os.path.exists(source):
        source = os.path.abspath(source)
    return {
        **opened.about,
        "model": {**opened.about["model"], "source": source},
        "computed": computed,
        "request": {**opened.about["request"], "precision": opened.sampler.precision, "threads": threads},
        "num_classes": opened.sampler.num_classes,
        "measures": list(dict.fromkeys(names)),
    }
