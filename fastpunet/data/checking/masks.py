"""What the masks of a data set hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastpunet.data import sources
from fastpunet.data.checking.agreement import describe_agreement
from fastpunet.data.checking.report import Report, counted, listed, several
from fastpunet.data.checking.values import evenly
from fastpunet.data.folder.layout import Graded, is_nifti, list_images
from fastpunet.data.folder.pictures import Picture, pictures
from fastpunet.data.folder.reader import FolderRecords
from fastpunet.data.folder.volumes import VolumePart, volume_parts
from fastpunet.data.lazy import header_of
from fastpunet.data.record import IGNORE, Record, Records
from fastpunet.intensity import PERCENTILES
from fastpunet.progress import Progress

_MANY = 32  # labels of one mask, above which it is hardly of classes


def describe_masks(report: Report, path: Path, kind: str) -> Records | None:
    """Add who graded the images of a data set of that kind, how far they agree, what share of masks is empty, and what
    looks wrong. Returns the records; None if they cannot be read."""
    try:
        records = (
            _folder(report, path) if kind == "folder" else sources.read(kind, path, binary=False, intensity=PERCENTILES)
        )
    except (ValueError, OSError) as error:
        report.failure(error)
        return None
    graded = _graded(report, records)
    if not graded:
        report.facts["masks"] = "none"
        if kind == "folder" and not report.problems:
            report.note("no image has a mask; masks are looked for in masks/<rater>/, under the names of their images")
        return records
    looked = _read(report, records, [graded[place] for place in evenly(len(graded))])
    report.facts["masks"] = f"{counted(str(header_of(records, place).masks) for place in graded)} per image"
    if len(graded) < len(records):
        report.facts["masks"] += f"; {len(records) - len(graded)} of {len(records)} images have none"
    raters = sorted({rater for record in looked for rater in record.raters if rater})
    if raters:
        report.facts["raters"] = f"{len(raters)}: {listed(raters)}"
    _describe_labels(report, looked)
    return records


def _folder(report: Report, path: Path) -> Records:
    """The records of a folder; images whose files or masks cannot be read are problems."""
    found: list[Picture | VolumePart] = []
    for graded in list_images(path):
        try:
            found.extend(_parts(graded))
        except (ValueError, OSError) as error:
            report.failure(error)
    return FolderRecords(found)


def _parts(graded: Graded) -> Sequence[Picture | VolumePart]:
    """Every slice of a volume is a record; masks are read as they are stored."""
    if is_nifti(graded.image):
        return list(volume_parts(graded, False, PERCENTILES, whole=False, unmarked=True))
    return list(pictures(graded, False, PERCENTILES))


def _graded(report: Report, records: Records) -> list[int]:
    """The places of records with masks, after a look at all headers."""
    places = []
    for place in range(len(records)):
        try:
            if header_of(records, place).masks:
                places.append(place)
        except (ValueError, OSError) as error:
            report.failure(error)
    return places


def _read(report: Report, records: Records, places: Sequence[int]) -> list[Record]:
    found = []
    with Progress(len(places), "reading masks", "image") as progress:
        for place in places:
            try:
                found.append(records[place])
            except (ValueError, OSError) as error:
                report.failure(error)
            progress.update(1)
    return found


def _describe_labels(report: Report, looked: Sequence[Record]) -> None:
    """Add which labels there are and what share of masks is empty."""
    masks = [set(np.unique(mask).tolist()) for record in looked for mask in record.masks]
    if not masks:
        return
    found = set().union(*masks)
    white = IGNORE in found <= {0, IGNORE}  # then it is the foreground
    nothing = {0} if white else {0, IGNORE}
    empty = sum(labels <= nothing for labels in masks)
    unmarked = sum(bool(np.isin(record.masks, list(nothing)).all()) for record in looked)
    report.facts["labels"] = ", ".join(map(str, sorted(found)))
    report.facts["empty"] = (
        f"{empty / len(masks):.1%} of {len(masks)} masks; {unmarked} of the {len(looked)} images looked at have "
        "only empty masks"
    )
    if empty == len(masks):
        report.problem("all masks that were looked at are empty")
    else:
        describe_agreement(report, looked, nothing)
    _find_wrong_labels(report, looked, masks, white=white)


def _find_wrong_labels(report: Report, looked: Sequence[Record], masks: Sequence[set[int]], *, white: bool) -> None:
    if white:
        report.note(
            f"masks hold 0 and {IGNORE} alone: they are read as background and foreground, with num_classes 1 or 2"
        )
    elif {0, IGNORE} in masks and any(labels in ({1}, {0, 1}) for labels in masks):
        mixed = [
            record.name for record in looked if {0, IGNORE} in [set(np.unique(mask).tolist()) for mask in record.masks]
        ]
        report.problem(
            f"some masks hold 0 and {IGNORE}, which means not annotated, others 0 and 1: {listed(mixed)}; store all "
            "alike"
        )
    many = [record.name for record in looked if max(len(np.unique(mask)) for mask in record.masks) > _MANY]
    if many:
        report.problem(
            f"{several(len(many), 'image')} with masks of more than {_MANY} values, which are grey values or blurred "
            f"edges rather than classes: {listed(many)}"
        )
