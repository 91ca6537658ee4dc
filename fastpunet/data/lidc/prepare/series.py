"""CT series in a folder of DICOM files."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from tqdm import tqdm

from fastpunet.data.dicom.files import open_header, read_values
from fastpunet.data.leftovers import is_leftover
from fastpunet.data.reading import Unreadable, one_line, reading

_SERIES = ["SeriesInstanceUID"]
_PLACE = ["ImagePositionPatient", "PixelSpacing", "InstanceNumber"]
_RESCALING = ("RescaleSlope", "RescaleIntercept")


class UnreadableFiles(ValueError):
    """DICOM files, named, that are damaged or lack something."""

    def __init__(self, files: Iterable[str]) -> None:
        self.files = list(dict.fromkeys(files))
        listed = "; ".join(self.files)
        super().__init__(f"dicom: cannot read these; download them again, or delete them to do without: {listed}")


@dataclass(frozen=True)
class Slice:
    """One slice of a CT series, its pixels still on disk."""

    path: Path
    z_mm: float
    native_mm: tuple[float, float]  # between rows, between columns
    number: int

    def hounsfield(self) -> NDArray[np.float32]:
        """Pixels (H, W) in Hounsfield units. Raises UnreadableFiles."""
        with _named(self.path):
            values = read_values(self.path, _RESCALING)
            if len(values) > 1:
                raise Unreadable(f"holds {len(values)} channels, expected one")
        return values[0].astype(np.float32)


def find_series(folder: str | os.PathLike[str], wanted: Collection[str]) -> dict[str, list[Slice]]:
    """The slices of each wanted SeriesInstanceUID, in any order; series that are not there are not in it.

    Reads all `*.dcm` under the folder, of each no more than its series, position, pixel spacing and number.
    Raises FileNotFoundError if there is none, and UnreadableFiles.
    """
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() == ".dcm" and not is_leftover(path))
    if not paths:
        raise FileNotFoundError(f"dicom: no *.dcm under {folder}; expected the download of LIDC-IDRI from TCIA")
    series, broken = defaultdict(list), []
    for path in tqdm(paths, desc="reading headers", unit="file", leave=False, disable=None):
        try:
            with _named(path), reading(path, "a DICOM file"):
                header = open_header(path, _SERIES + _PLACE)
                if (uid := str(header.SeriesInstanceUID)) in wanted:
                    series[uid].append(_slice(path, header))
        except UnreadableFiles as error:
            broken += error.files
    if broken:
        raise UnreadableFiles(broken)
    return dict(series)


def nearest(slices: list[Slice], z_mm: float, tolerance_mm: float) -> Slice | None:
    """The slice at a position, the one of lesser number if two are equally near; None beyond the tolerance."""
    best = min(slices, key=lambda candidate: (abs(candidate.z_mm - z_mm), candidate.number))
    return best if abs(best.z_mm - z_mm) <= tolerance_mm else None


def _slice(path: Path, header: pydicom.Dataset) -> Slice:
    rows, columns = (float(step) for step in header.PixelSpacing)
    z_mm = float(header.ImagePositionPatient[2])
    if not (math.isfinite(z_mm) and 0 < rows < math.inf and 0 < columns < math.inf):
        raise Unreadable(f"has pixels of {rows} x {columns} mm at z = {z_mm}, expected finite numbers above 0")
    return Slice(path, z_mm, (rows, columns), int(header.InstanceNumber))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A refused file becomes UnreadableFiles."""
    try:
        yield
    except ValueError as error:
        raise UnreadableFiles([f"{path} ({one_line(error).removeprefix(f'file: {path} ')})"]) from None
