"""One run of `fastpunet report`: a page for every image, each written whole or not at all, and an index of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fastpunet.data import Record
from fastpunet.data.inputs import Input
from fastpunet.data.inputs.names import distinct
from fastpunet.data.reading import one_line
from fastpunet.data.streets import STREETS
from fastpunet.files import check_folder
from fastpunet.files import sha256 as digest
from fastpunet.prediction.fitting import check_taken
from fastpunet.prediction.folders import is_written
from fastpunet.prediction.opening import OpenedModel, Outcome, open_inputs, open_model
from fastpunet.prediction.request import Request
from fastpunet.progress import Progress
from fastpunet.reports.outputs import check_writable
from fastpunet.reports.page.data_subjects import record_subject
from fastpunet.reports.page.existing import is_kept
from fastpunet.reports.page.file_subjects import check_flat, file_subject
from fastpunet.reports.page.gallery import INDEX, check_index, write_index
from fastpunet.reports.page.image_scores import ImageScores
from fastpunet.reports.page.making import make_page, name_of_model
from fastpunet.reports.page.subject import Subject
from fastpunet.reports.records import DataSet

ENDING = ".html"


@dataclass(frozen=True)
class Manner:
    """How the pages of a run are made and written.

    command    as it was typed, for the pages' foot
    classes    the names of the labels 0, 1, ...; None: those of the data set, if it has any
    overwrite, skip_existing   what becomes of pages that are there already
    say        is called with each outcome as it comes
    scores     of a data set's images, by which its index sorts them; None: by how ambiguous they are
    """

    command: str = ""
    classes: tuple[str, ...] | None = None
    overwrite: bool = False
    skip_existing: bool = False
    say: Callable[[Outcome], None] = field(default=lambda _: None)
    scores: ImageScores | None = None

    def __post_init__(self) -> None:
        if self.overwrite and self.skip_existing:
            raise ValueError("skip_existing: got overwrite as well, expected one of them")


@dataclass(frozen=True)
class Job:
    """One page to make.

    name     of its file, where a run writes several
    subject  reads what it is about
    content  the SHA-256 of all that it is made of, apart from the model
    """

    name: str
    subject: Callable[[], Subject]
    content: Callable[[], str]


def report_files(
    model: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    request: Request,
    manner: Manner,
    *,
    annotations: Mapping[str, str | os.PathLike[str]] | None = None,
    place: int | None = None,
    device: str = "auto",
) -> list[Outcome]:
    """Make a page about each image in files. Returns what became of each.

    output: the file of the page, or, of several images, the folder in which each has a file, and all have an index.
    annotations: name -> file, of a single image. place: the slice of volumes; None: that in which hypotheses disagree
    most. Raises ValueError, TypeError or OSError, before anything is drawn, for what cannot be done for any image.
    """
    given = dict(annotations or {})
    opened = _opened(model, output, request, device)
    check = partial(check_taken, method=opened.sampler.method, request=request)
    found = open_inputs(paths, is_written, check)
    if given and len(found.inputs) + len(found.refused) > 1:
        raise ValueError("annotation: got some for several images, expected one image; name it alone, or take --data")

    def job(source: Input) -> Job:
        files = [*source.files, *map(Path, given.values())]
        read = partial(file_subject, source, opened.sampler, request, given, place)
        return Job(source.name, read, lambda: f"{digest(*files)} {list(given)} {place}")

    jobs = [job(source) for source in found.inputs]
    return _make(opened, jobs, Path(output), request, manner, found.refused)


def report_records(
    model: str | os.PathLike[str],
    data: DataSet,
    places: Sequence[int],
    output: str | os.PathLike[str],
    request: Request,
    manner: Manner,
    *,
    device: str = "auto",
) -> list[Outcome]:
    """Make a page about each of some records of a data set, whose graders are annotations. Returns as `report_files`.

    places: of the records in the data, counted from 0; none stands for all. Raises the errors of `report_files`.
    """
    opened = _opened(model, output, request, device)
    records = data.records_for(opened.method)
    for place in places:
        if not 0 <= place < len(records):
            raise ValueError(f"image: got {place}, expected 0 .. {len(records) - 1}, places in the data")
    manner = replace(manner, classes=manner.classes or _names_of_classes(data.kind, opened.method.num_classes))

    def job(place: int) -> Job:
        read = partial(_subject, records, place, opened, os.fspath(data.path))
        return Job(f"image-{place}", read, lambda: _content(records[place]))

    return _make(opened, [job(place) for place in places or range(len(records))], Path(output), request, manner, [])


def _subject(records: Sequence[Record], place: int, opened: OpenedModel, data: str) -> Subject:
    return record_subject(records[place], opened.sampler, f"{Path(data).name}, image {place}")


def _names_of_classes(kind: str, num_classes: int) -> tuple[str, ...] | None:
    """The names of the classes of street scenes, with the flipped ones behind them if the model knows these."""
    if kind not in STREETS:
        return None
    classes, flips = STREETS[kind]
    known = (classes, (*classes, *(f"{classes[label]}, flipped" for label in flips)))
    return next((names for names in known if len(names) == num_classes), None)


def _content(record: Record) -> str:
    parts = [record.image, record.masks, *([] if record.weights is None else [record.weights])]
    return sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def _opened(
    model: str | os.PathLike[str], output: str | os.PathLike[str], request: Request, device: str
) -> OpenedModel:
    target = Path(output)
    if target.suffix == ENDING:
        check_writable("output", target)
    else:
        check_folder("output", target)
    opened = open_model(model, request, device)
    check_flat(opened.sampler)
    return opened


def _make(
    opened: OpenedModel,
    jobs: Sequence[Job],
    output: Path,
    request: Request,
    manner: Manner,
    refused: Iterable[Outcome],
) -> list[Outcome]:
    outcomes = list(refused)
    count = len(jobs) + len(outcomes)
    if output.suffix == ENDING and count > 1:
        raise ValueError(f"output: got {output} for {count} images, expected a folder; leave out {ENDING}")
    targets = _targets(output, [job.name for job in jobs])
    how = {"overwrite": manner.overwrite, "skip_existing": manner.skip_existing}
    kept = {
        job.name
        for job, target in zip(jobs, targets, strict=True)
        if is_kept(target, partial(_asked, opened, job), **how)
    }
    for outcome in outcomes:
        manner.say(outcome)
    try:
        with Progress(len(jobs), "reporting", "image") as progress:
            for job, target in zip(jobs, targets, strict=True):
                if job.name in kept:
                    outcomes.append(Outcome(job.name, "kept", "its page was there already"))
                else:
                    outcomes.append(_page(opened, job, target, request, manner))
                manner.say(outcomes[-1])
                progress.update(1)
    except KeyboardInterrupt:
        with suppress(OSError):  # the interruption matters more
            _write_index(output, targets, outcomes, manner)
        done = sum(outcome.status != "failed" for outcome in outcomes)
        raise KeyboardInterrupt(
            f"interrupted; {done} of {len(jobs)} pages are written; pass --skip-existing to go on"
        ) from None
    _write_index(output, targets, outcomes, manner)
    return outcomes


def _targets(output: Path, names: Sequence[str]) -> list[Path]:
    """The file of each page: `output` itself, or one in that folder, which is never taken for the index."""
    if output.suffix == ENDING:
        return [output]
    check_index(output)
    reserved = INDEX.removesuffix(ENDING)
    choices = [[f"{name}-image" if name.lower() == reserved else name] for name in names]
    return [output / f"{name}{ENDING}" for name in distinct(choices)]


def _write_index(output: Path, targets: Sequence[Path], outcomes: Sequence[Outcome], manner: Manner) -> None:
    """Write the index, if the pages are in a folder."""
    if output.suffix != ENDING and output.is_dir():
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        write_index(output, failed, manner.scores, [target.name for target in targets])


def _asked(opened: OpenedModel, job: Job) -> dict[str, Any]:
    """What a page is made of, for comparison with one that is there."""
    return {"model": opened.about["model"], "request": opened.about["request"], "sha256": job.content()}


def _page(opened: OpenedModel, job: Job, target: Path, request: Request, manner: Manner) -> Outcome:
    """Make one page; what is wrong with its image is its own failure."""
    try:
        page = make_page(
            job.subject(),
            opened.sampler,
            request,
            method=opened.method,
            model_name=name_of_model(opened.about["model"]["source"]),
            classes=manner.classes,
            command=manner.command,
            asked=_asked(opened, job),
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        page.save(target)
    except (ValueError, OSError) as error:
        name = f"{job.name}: " if isinstance(error, OSError) else ""  # a ValueError names its input
        return Outcome(job.name, "failed", name + one_line(error, 1000))
    return Outcome(job.name, "done", f"{page.summary}; {len(page.html) / 1e6:.1f} MB in {target}", page.doubts)
