"""CT series in a folder of DICOM files."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from tqdm import tqdm

_SERIES = ["SeriesInstanceUID"]
_PLACE = ["ImagePositionPatient", "PixelSpacing", "InstanceNumber"]
_PIXELS = ["RescaleSlope", "RescaleIntercept"]


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
        try:
            file = pydicom.dcmread(self.path)
            slope, intercept = (float(file[tag].value) for tag in _PIXELS)
            return np.asarray(file.pixel_array, np.float32) * np.float32(slope) + np.float32(intercept)
        except Exception as error:  # pydicom raises whatever it stumbles over
            raise UnreadableFiles([f"{self.path} ({type(error).__name__}: {error})"]) from error


def find_series(folder: str | os.PathLike[str], wanted: Collection[str]) -> dict[str, list[Slice]]:
    """The slices of each wanted SeriesInstanceUID, in any order; series that are not there are not in it.

    Reads all `*.dcm` under the folder, of each no more than its series, position, pixel spacing and number.
    Raises FileNotFoundError if there is none, and UnreadableFiles.
    """
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() == ".dcm")
    if not paths:
        raise FileNotFoundError(f"dicom: no *.dcm under {folder}; expected the download of LIDC-IDRI from TCIA")
    series, broken = defaultdict(list), []
    for path in tqdm(paths, desc="reading headers", unit="file", leave=False, disable=None):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_SERIES + _PLACE)
            if (uid := str(header.SeriesInstanceUID)) in wanted:
                series[uid].append(_slice(path, header))
        except Exception as error:  # pydicom raises whatever it stumbles over
            broken.append(f"{path} ({type(error).__name__}: {error})")
    if broken:
        raise UnreadableFiles(broken)
    return dict(series)


def nearest(slices: list[Slice], z_mm: float, tolerance_mm: float) -> Slice | None:
    """The slice at a position, the one of lesser number if two are equally near; None beyond the tolerance."""
    best = min(slices, key=lambda candidate: (abs(candidate.z_mm - z_mm), candidate.number))
    return best if abs(best.z_mm - z_mm) <= tolerance_mm else None


def _slice(path: Path, header: pydicom.Dataset) -> Slice:
    rows, columns = header.PixelSpacing
    return Slice(path, float(header.ImagePositionPatient[2]), (float(rows), float(columns)), int(header.InstanceNumber))
