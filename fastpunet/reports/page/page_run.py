"""A run that makes pages: each is written whole or not at all, and a folder of them gets an index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastpunet.data.inputs.names import distinct
from fastpunet.data.reading import one_line
from fastpunet.prediction.opening import OpenedModel, Outcome
from fastpunet.prediction.request import Request
from fastpunet.progress import Progress
from fastpunet.reports.page.existing import is_kept
from fastpunet.reports.page.gallery import INDEX, check_index, write_index
from fastpunet.reports.page.image_scores import ImageScores
from fastpunet.reports.page.making import make_page, name_of_model
from fastpunet.reports.page.subject import Subject

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


def make_pages(
    opened: OpenedModel,
    jobs: Sequence[Job],
    output: Path,
    request: Request,
    manner: Manner,
    refused: Iterable[Outcome],
) -> list[Outcome]:
    """Make the pages of some jobs. Returns what became of these, behind what became of the images that were refused.

    output: the file of a single page, or the folder of all. Raises ValueError for pages that are there already and are
    neither kept nor replaced, and KeyboardInterrupt that says how far it came.
    """
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
