"""One scan to the members of a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.lidc.prepare.database import Scan
from fastpunet.data.lidc.prepare.nodules import GRADERS, Nodule
from fastpunet.data.lidc.prepare.resampling import Crop
from fastpunet.data.lidc.prepare.series import Slice, UnreadableFiles, nearest

WINDOW = (-1000.0, 400.0)  # Hounsfield units that become 0 and 255: the usual lung window

Members = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Record:
    """A slice of a nodule, as in a bundle."""

    image: NDArray[np.uint8]  # (size, size)
    masks: NDArray[np.uint8]  # (4, size, size) in {0, 1}
    nodule: int  # in the scan
    slice: int  # slices of the scan from the nodule's first
    z_mm: float
    native_spacing_mm: float  # between rows
    malignancy: list[int]


def scan_records(
    scan: Scan, nodules: list[Nodule], slices: list[Slice], spacing_mm: float, size: int
) -> tuple[list[Record], int]:
    """A record for each slice and nodule with a mask on it, and how many there are of which the slice is missing.

    Outlines that enclose no pixel give none. Raises UnreadableFiles, after it has tried all.
    """
    records, missing, broken = [], 0, []
    reach_mm = min([scan.slice_thickness_mm, *np.diff(scan.z_mm)]) / 2  # slices overlap in many scans
    for nodule in nodules:
        first = scan.slice_index(nodule.z_mm[0])
        for z in nodule.z_mm:
            ct = nearest(slices, z, reach_mm)
            native_mm = ct.native_mm if ct else (scan.pixel_spacing_mm, scan.pixel_spacing_mm)
            crop = Crop(nodule, native_mm, spacing_mm, size)
            masks = crop.masks(z)
            if not masks.any():
                continue
            if ct is None:
                missing += 1
                continue
            try:
                image = to_uint8(crop.resample(ct.hounsfield(), 1, WINDOW[0]))
            except UnreadableFiles as error:
                broken += error.files
                continue
            malignancy = [annotation.malignancy for annotation in nodule.annotations]
            records.append(Record(image, masks, nodule.index, scan.slice_index(z) - first, z, native_mm[0], malignancy))
    if broken:
        raise UnreadableFiles(broken)
    return records, missing


def to_uint8(hounsfield: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Hounsfield units to 0 .. 255 over `WINDOW`, clipped."""
    low, high = WINDOW
    return np.rint((hounsfield.clip(low, high) - low) * (255 / (high - low))).astype(np.uint8)


def pack(scan: Scan, records: list[Record], size: int, spacing_mm: float) -> Members:
    """The members of a bundle; see `fastpunet.data.lidc.prepare.prepare`."""
    count = len(records)
    masks = np.array([record.masks for record in records], np.uint8).reshape(count, GRADERS, size, size)
    grades = [record.malignancy + [0] * (GRADERS - len(record.malignancy)) for record in records]
    return {
        "images": np.array([record.image for record in records], np.uint8).reshape(count, size, size),
        "masks_packed": np.packbits(masks, axis=-1),
        "patient": np.array([scan.patient] * count, "U14"),
        "series_uid": np.array([scan.series_uid] * count, "U64"),
        "nodule": np.array([record.nodule for record in records], np.uint8),
        "slice": np.array([record.slice for record in records], np.uint8),
        "z_mm": np.array([record.z_mm for record in records], np.float32),
        "native_spacing_mm": np.array([record.native_spacing_mm for record in records], np.float32),
        "spacing_mm": np.full(count, spacing_mm, np.float32),
        "n_graders": np.array([len(record.malignancy) for record in records], np.uint8),
        "malignancy": np.array(grades, np.uint8).reshape(count, GRADERS),
    }
