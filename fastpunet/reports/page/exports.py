"""Files without a mask, into which the page writes one: a NIfTI header and a DICOM SEG."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from typing import Any

import numpy as np

from fastpunet.data.inputs import Input
from fastpunet.data.writing import check_format
from fastpunet.data.writing.dicom_seg import encoded as encoded_seg
from fastpunet.data.writing.nifti_file import encoded as encoded_nifti
from fastpunet.optional import require
from fastpunet.reports.page.compact import Packed, compact
from fastpunet.reports.page.subject import Subject

_NIFTI_HEADER = 352  # bytes
_PIXEL_DATA = b"\xe0\x7f\x10\x00"  # tag of the pixels, little-endian
_LEAST_DIGITS = 10**38  # of 39 digits, as the largest UUIDs have


def exports(subject: Subject) -> dict[str, Any]:
    """`Exports` of case.ts."""
    source = replace(subject.prepared.source, spacing=subject.prepared.spacing)
    return {"nifti": _nifti(source), "seg": _seg(source)}


def _nifti(source: Input) -> Packed | None:
    if source.grid is None and source.spacing is None:
        return None
    empty = np.zeros((*source.size, 1), np.uint8)
    return compact(np.frombuffer(encoded_nifti(source, empty, "label")[:_NIFTI_HEADER], np.uint8))


def _seg(source: Input) -> dict[str, Any] | None:
    """A DICOM SEG of an empty mask, with placeholders in place of its identifiers."""
    if source.format != "dicom":
        return None
    try:
        check_format(source, "seg")
    except ValueError:  # the file lacks what a SEG refers to
        return None
    pydicom = require("pydicom", "writing DICOM segmentations")
    written = pydicom.dcmread(io.BytesIO(encoded_seg(source, np.zeros((1, *source.size, 1), np.uint8), ["mask"])))
    placeholders = _put_placeholders(written)
    content = io.BytesIO()
    written.save_as(content)
    data = content.getvalue()
    identifiers = [
        {"offset": offset, "length": len(uid)} for uid in placeholders for offset in _occurrences(data, uid.encode())
    ]
    pixels = data.rindex(_PIXEL_DATA) + 12  # behind tag, VR and length
    return {"file": compact(np.frombuffer(data, np.uint8)), "pixelData": pixels, "identifiers": identifiers}


def _put_placeholders(written: Any) -> list[str]:
    """Replace the identifiers that two files may not share, wherever they stand; returns the new ones."""
    (segment,) = written.SegmentSequence
    (organization,) = written.DimensionOrganizationSequence
    old = [written.SOPInstanceUID, written.SeriesInstanceUID, segment.TrackingUID]
    old.append(organization.DimensionOrganizationUID)
    new = {uid: f"2.25.{random.SystemRandom().randrange(_LEAST_DIGITS, 3 * _LEAST_DIGITS)}" for uid in old}

    def replace_identifier(_: Any, element: Any) -> None:
        if element.VR == "UI" and element.value in new:
            element.value = new[element.value]

    written.walk(replace_identifier)
    written.file_meta.walk(replace_identifier)
    return list(new.values())


def _occurrences(data: bytes, what: bytes) -> list[int]:
    found, start = [], data.find(what)
    while start >= 0:
        found.append(start)
        start = data.find(what, start + 1)
    return found
