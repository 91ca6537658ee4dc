"""Where the scores of an image come from, so that tables and files can name it."""

from __future__ import annotations

from dataclasses import dataclass

from fastpunet.data import Record
from fastpunet.scoring.references import References


@dataclass(frozen=True)
class ImageNames:
    """Where a row of scores comes from.

    id       the record's
    patient  the record's, or its id where it has none: intervals are over patients
    graders  the number of graders of the image; 0 if there are none, or if the exact distribution is known
    name     the image's file or series; slice is its index in that, and raters are the graders' names in the order of
             the masks. They are empty if the data set does not say.
    """

    id: int
    patient: str
    graders: int = 0
    name: str = ""
    slice: int | None = None
    raters: tuple[str, ...] = ()

    @staticmethod
    def of(record: Record, references: References) -> ImageNames:
        patient = record.patient or str(record.id)
        return ImageNames(record.id, patient, references.graders, record.name, record.slice, record.raters)
