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

from fastpunet.data.leftovers import is_leftover
from fastpunet.data.reading import Unreadable, check_unpacked, one_line, reading

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
        with _named(self.path):
            file = pydicom.dcmread(self.path)
            slope, intercept = (float(file[tag].value) for tag in _PIXELS)
            values = file.get("NumberOfFrames") or 1, file.get("SamplesPerPixel") or 1, file.Rows, file.Columns
            check_unpacked(self.path, math.prod(map(int, values)) * 8, "DICOM slice")
            pixels = np.asarray(file.pixel_array, np.float32) * np.float32(slope) + np.float32(intercept)
            if pixels.ndim != 2 or not np.isfinite(pixels).all():
                raise Unreadable(f"holds pixels {pixels.shape}, expected finite ones (H, W)")
        return pixels


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
            with _named(path):
                _check_syntax(path)
                header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_SERIES + _PLACE)
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


def _check_syntax(path: Path) -> None:
    """Refuse files that are compressed as a whole: they unpack, without any limit, as soon as they are opened."""
    meta = pydicom.filereader.read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian:
        raise Unreadable("is deflated as a whole, which LIDC-IDRI's files are not; store it uncompressed")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever pydicom stumbles over becomes UnreadableFiles."""
    try:
        with reading(path, "a DICOM file"):
            yield
    except ValueError as error:
        raise UnreadableFiles([f"{path} ({one_line(error).removeprefix(f'file: {path} ')})"]) from None
