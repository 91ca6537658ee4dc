"""The image that a page shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpunet.data.dicom.files import open_header
from fastpunet.data.reading import reading
from fastpunet.reports.page.compact import compact, smallest
from fastpunet.reports.page.subject import MOST_COLOURS, Subject


def shown_image(subject: Subject) -> dict[str, Any]:
    """`ImageFacts` of case.ts: values in the file's own unit, at first with the window that the model sees."""
    prepared, (height, width) = subject.prepared, subject.size
    pixels = subject.stored.transpose(1, 2, 0) if len(subject.stored) == MOST_COLOURS else subject.stored[0]
    seen = prepared.intensity.resolve(subject.stored)
    return {
        "height": height,
        "width": width,
        "channels": MOST_COLOURS if pixels.ndim == 3 else 1,
        "pixels": compact(smallest(np.asarray(pixels))),
        "unit": _unit(subject),
        "window": [seen.low, seen.high],
        "spacing": None if prepared.spacing is None else list(prepared.spacing),
    }


def _unit(subject: Subject) -> str:
    """The unit of the values; files other than DICOM do not say one."""
    source = subject.prepared.source
    if source.format != "dicom":
        return ""
    with reading(source.files[0], "a DICOM file"):
        header = open_header(source.files[0])
        unit = str(header.get("RescaleType") or ("HU" if header.get("Modality") == "CT" else ""))
    return "" if unit == "US" else unit  # DICOM's word for unspecified
