"""Where the scores of an image come from, so that tables and files can name it."""

from __future__ import annotations

from dataclasses import dataclass

from fastpunet.data import Record
from fastpunet.scoring.references import References


@dataclass(frozen=True)
class ImageNames:
    """Where a row of scores comes from.

    id       the record's
    patient  the record's, or its id where it has none: bootstrap intervals draw patients
    graders  how many annotated the image; 0 where nobody did, or where the exact distribution is known
    name     of the image's file or series, slice its place in that, raters the graders' names, in the masks' order;
             empty where the data set does not say
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
