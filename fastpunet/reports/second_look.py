"""Assesses every annotation of a data set, and orders them so that those worth a second look come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from fastpunet.data import IGNORE, Record, Records
from fastpunet.hypotheses import assess
from fastpunet.progress import Progress
from fastpunet.reports.tables import DASH, markdown
from fastpunet.sampler import Sampler
from fastpunet.scoring.references import References, title


@dataclass(frozen=True)
class AssessedMask:
    """One annotation of a data set.

    record    the record's id; patient, name and slice are the record's
    rater     its rater's name, or the place among the record's masks, counted from 1
    values    what `Assessment.rows` says of it
    relative  its log p(y | x) minus the mean of the other annotations of its image, nats; None without others
    """

    record: int
    patient: str
    name: str
    slice: int | None
    rater: str
    values: dict[str, Any]
    relative: float | None

    def row(self) -> dict[str, Any]:
        """All of it in one row, for files."""
        traces = {"record": self.record, "patient": self.patient, "image": self.name, "slice": self.slice}
        rest = {key: value for key, value in self.values.items() if key != "annotation"}
        return {**traces, "rater": self.rater, "relative_log_evidence": self.relative, **rest}


def second_look(
    model: nn.Module, records: Records, n: int = 1000, *, seed: int = 0, precision: str = "auto"
) -> list[AssessedMask]:
    """Assess every annotation of every record, in the order in which they are worth a second look.

    First come those that are unlike every hypothesis: the order is that of the IoU with the nearest hypothesis,
    ascending, and where that is the same, of log p(y | x) relative to the other annotations of the image, ascending.
    Among orders by the other values this one found masks of wrong images, and shifted ones, best (see
    docs/results/assessment.md). An annotation at the top is not wrong for that: the model may be.

    Records without annotations are left out. The arguments are those of `hypotheses.assess`; the image's id is the
    record's. Raises ValueError, naming the record, for one that is not what the model takes, and for exact
    distributions, which nobody annotated.
    """
    sampler = Sampler(model, precision=precision)
    found: list[AssessedMask] = []
    with Progress(len(records), "assessing", "image") as progress:
        for record in records:
            if len(record.masks):
                found += _assess(sampler, record, n, seed, precision)
            progress.update(1)
    if not found:
        raise ValueError("records: none has an annotation, expected at least one mask")
    return sorted(found, key=lambda mask: (mask.values["nearest_iou"], mask.relative or 0.0))


def _assess(sampler: Sampler, record: Record, n: int, seed: int, precision: str) -> list[AssessedMask]:
    if record.weights is not None:
        raise ValueError(
            f"records: {title(record)} has an exact distribution over masks, expected annotations by people; use other "
            "data"
        )
    References.of([record], sampler.num_classes, torch.device("cpu"))  # for its errors, which name the record
    annotated = [m for m, mask in enumerate(record.masks) if (mask != IGNORE).any()]
    raters = record.raters or tuple(str(m + 1) for m in range(len(record.masks)))
    if not annotated:
        return []
    masks = torch.from_numpy(record.masks[annotated]).to(sampler.device)
    image = torch.from_numpy(record.image).to(sampler.device)
    try:
        rows = assess(sampler.method, image, masks, n, seed=seed, id=record.id, precision=precision).rows()
    except ValueError as error:
        raise ValueError(f"records: {title(record)}: {error}") from None
    evidence = np.array([row["log_evidence"] for row in rows], float)
    return [
        AssessedMask(
            record.id,
            record.patient,
            record.name,
            record.slice,
            raters[m],
            row,
            float(evidence[place] - np.delete(evidence, place).mean()) if len(rows) > 1 else None,
        )
        for place, (m, row) in enumerate(zip(annotated, rows, strict=True))
    ]


def table(masks: Sequence[AssessedMask]) -> str:
    """A Markdown table of annotations."""
    rows = [["patient", "image", "slice", "rater", "nearest IoU", "typicality", "log p", "minus the others'"]]
    for mask in masks:
        image = mask.name or f"record {mask.record}"
        values = mask.values
        evidence = f"{values['log_evidence']:.1f} ± {values['standard_error']:.1f}"
        relative = DASH if mask.relative is None else f"{mask.relative:+.1f}"
        numbers = [f"{values['nearest_iou']:.2f}", f"{values['typicality']:.3f}", evidence, relative]
        place = DASH if mask.slice is None else str(mask.slice)
        rows.append([mask.patient or DASH, image, place, mask.rater, *numbers])
    return markdown(rows)
