"""Pages about images in files, and about images of data sets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from fastpunet.archive import StoredHypotheses
from fastpunet.data import Record
from fastpunet.data.inputs import Input
from fastpunet.data.streets import STREETS
from fastpunet.files import check_folder
from fastpunet.files import sha256 as digest
from fastpunet.prediction.fitting import check_taken
from fastpunet.prediction.folders import is_written
from fastpunet.prediction.opening import OpenedInputs, OpenedModel, Outcome, open_inputs, open_model
from fastpunet.prediction.request import Request
from fastpunet.reports.outputs import check_writable
from fastpunet.reports.page.data_subjects import record_subject
from fastpunet.reports.page.file_subjects import check_flat, file_subject
from fastpunet.reports.page.page_run import ENDING, Job, Manner, make_pages
from fastpunet.reports.page.subject import Subject
from fastpunet.reports.records import DataSet
from fastpunet.sampler import Sampler


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
    check_annotated(given, found)
    jobs = [file_job(source, opened.sampler, request, given, place) for source in found.inputs]
    return make_pages(opened, jobs, Path(output), request, manner, found.refused)


def check_annotated(annotations: Mapping[str, object], found: OpenedInputs) -> None:
    """Raise ValueError for annotations of several images."""
    if annotations and len(found.inputs) + len(found.refused) > 1:
        raise ValueError(
            "annotation: got annotations with several images, expected one image; name it alone, or use --data"
        )


def file_job(
    source: Input,
    sampler: Sampler,
    request: Request,
    annotations: Mapping[str, str | os.PathLike[str]],
    place: int | None,
    archived: StoredHypotheses | None = None,
) -> Job:
    """The page about an image in files; the arguments are those of `file_subject`."""
    files = [*source.files, *map(Path, annotations.values())]
    read = partial(file_subject, source, sampler, request, annotations, place, archived)
    return Job(source.name, read, lambda: f"{digest(*files)} {list(annotations)} {place}")


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
            raise ValueError(f"image: got {place}, expected 0 .. {len(records) - 1}, the numbers of images in the data")
    manner = replace(manner, classes=manner.classes or _names_of_classes(data.kind, opened.method.num_classes))

    def job(place: int) -> Job:
        read = partial(_subject, records, place, opened, os.fspath(data.path))
        return Job(f"image-{place}", read, lambda: _content(records[place]))

    return make_pages(
        opened, [job(place) for place in places or range(len(records))], Path(output), request, manner, []
    )


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


def check_output(output: str | os.PathLike[str]) -> None:
    """Raise ValueError unless a page, or a folder of pages, can be written there."""
    target = Path(output)
    if target.suffix == ENDING:
        check_writable("output", target)
    else:
        check_folder("output", target)


def _opened(
    model: str | os.PathLike[str], output: str | os.PathLike[str], request: Request, device: str
) -> OpenedModel:
    check_output(output)
    opened = open_model(model, request, device)
    check_flat(opened.sampler)
    return opened
