"""Reads single DICOM files: their headers, and their pixels in real units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.reading import Unreadable, check_unpacked, reading
from fastpunet.optional import require

_FRAMES = "PerFrameFunctionalGroupsSequence"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_COLOURS = {"MONOCHROME1": 1, "MONOCHROME2": 1, "RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3, "YBR_RCT": 3, "YBR_ICT": 3}
MEASURED = ("CT", "MR", "NM", "PT")  # modalities whose numbers mean something, however they are shown
_DERIVED = ("SEG", "RTDOSE")  # modalities of files that have pixels and are no images
_COSINES = 1e-3  # tolerance of the lengths and the angle of direction cosines


@dataclass(frozen=True)
class SliceHeader:
    """The properties of a DICOM file of one image that are known before its pixels are read."""

    path: Path
    series: str  # SeriesInstanceUID
    series_number: int | None
    channels: int
    size: tuple[int, int]  # (H, W)
    wide: bool  # whether values have more than 8 bits, or are rescaled
    spacing: tuple[float, float] | None  # mm between rows, between columns
    position: tuple[float, ...] | None  # mm of the centre of the first pixel, towards left, back and head
    orientation: tuple[float, ...] | None  # direction cosines along a row, then along a column
    enhanced: bool  # whether the file holds all slices of a volume: see the module `enhanced`


def is_image(path: Path) -> bool:
    """Whether a file is of an image, and not a segmentation, a dose or a report. Raises as `read_header` does."""
    pydicom = require("pydicom", "reading DICOM files")
    with reading(path, "a DICOM file"):
        header = open_header(path)
        meant = "Image Storage" in pydicom.uid.UID(str(header.file_meta.get("MediaStorageSOPClassUID", ""))).name
        return ("Rows" in header or meant) and header.get("Modality") not in _DERIVED


def read_header(path: Path) -> SliceHeader:
    """Read what a file says of its image.

    Raises FileNotFoundError, and ValueError for a file that is truncated, no DICOM file, too large, without an image or
    with several, of palette colours or 16-bit colours, or with a spacing or position that is none.
    """
    with reading(path, "a DICOM file"):
        header = open_header(path)
        enhanced = is_enhanced(header)
        channels = check_pixels(header, path, enhanced=enhanced)
        number = header.get("SeriesNumber")
        return SliceHeader(
            path,
            str(header.get("SeriesInstanceUID", "")),
            None if number is None else int(number),
            channels,
            (int(header.Rows), int(header.Columns)),
            int(header.BitsAllocated) > 8 or _is_rescaled(header),
            _spacing(header),
            _numbers(header, "ImagePositionPatient", 3),
            _orientation(header),
            enhanced,
        )


def read_values(path: Path, needed: tuple[str, ...] = ()) -> NDArray[Any]:
    """Read the pixels (C, H, W) of an image in the units of the file, such as Hounsfield units.

    Rescaled values are float32; others keep the dtype in which they are stored. Colours are RGB. An image whose file
    says that small values are white (MONOCHROME1) is inverted within the range of its stored values, so that larger is
    brighter, as viewers show it; the numbers of CT, MR, PET and scintigraphy are measurements and stay as they are.

    needed: names of attributes without which the file is refused. Raises the errors of `read_header`, and ValueError
    for NaN or infinite values.
    """
    pydicom = require("pydicom", "reading DICOM files")
    with reading(path, "a DICOM file"):
        _check_syntax(path)
        file = pydicom.dcmread(path)
        channels = check_pixels(file, path)
        lacking = [name for name in needed if name not in file]
        if lacking:
            raise Unreadable(f"lacks {', '.join(lacking)}; export it again")
        pixels = np.asarray(file.pixel_array)
        if file.PhotometricInterpretation == "MONOCHROME1" and file.get("Modality") not in MEASURED:
            pixels = _inverted(pixels, int(file.BitsStored), signed=bool(file.PixelRepresentation))
        if _is_rescaled(file):
            pixels = pydicom.pixels.apply_modality_lut(pixels, file).astype(np.float32)
        if not np.isfinite(pixels).all():
            raise Unreadable("has NaN or infinite pixels, expected finite ones; replace them")
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def open_header(path: Path, names: list[str] | None = None) -> Any:
    """The attributes of those names, or all but the pixels, as pydicom's Dataset. Use it inside `reading`."""
    _check_syntax(path)
    pydicom = require("pydicom", "reading DICOM files")
    return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=names)


def is_enhanced(header: Any) -> bool:
    """Whether a file describes its frames one by one, as those do that hold all slices of a volume."""
    return _FRAMES in header


def _check_syntax(path: Path) -> None:
    """Refuse files that are compressed as a whole: they unpack, without any limit, as soon as they are opened."""
    pydicom = require("pydicom", "reading DICOM files")
    if pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == _DEFLATED:
        raise Unreadable("has the deflated transfer syntax, which is not supported; store it uncompressed")


def check_pixels(header: Any, path: Path, *, enhanced: bool = False) -> int:
    """The number of channels, after checks that the pixels are those of one image, or volume, that can be read."""
    if "Rows" not in header:
        raise Unreadable("holds no pixels; copy it again if it is an image, or remove it")
    _check_decoder(header.file_meta.TransferSyntaxUID)
    frames = int(header.get("NumberOfFrames") or 1)
    if not enhanced and (frames > 1 or is_enhanced(header)):
        raise Unreadable(
            f"holds {frames} frames that are not slices of a volume, expected a single image; store each frame in a "
            "file, or convert the frames to PNG"
        )
    colour = str(header.PhotometricInterpretation)
    samples = int(header.get("SamplesPerPixel") or 1)
    if _COLOURS.get(colour) != samples or (samples == 3 and int(header.BitsAllocated) != 8):
        raise Unreadable(
            f"holds {samples} samples of {header.BitsAllocated} bits per pixel as {colour}, expected grey values, or "
            "RGB of 8 bits; convert it"
        )
    values = math.prod((frames, int(header.Rows), int(header.Columns), samples))
    check_unpacked(path, values * (4 if enhanced else 8), "volume" if enhanced else "DICOM slice")
    return samples


def _check_decoder(syntax: Any) -> None:
    """Refuse pixels that are compressed in a way for which no decoder is installed."""
    pydicom = require("pydicom", "reading DICOM files")
    if not syntax.is_encapsulated:
        return
    try:
        decodable = pydicom.pixels.get_decoder(syntax).is_available
    except NotImplementedError:
        decodable = False
    if not decodable:
        raise Unreadable(
            f"is compressed as {syntax.name}, for which no decoder is installed; pip install pylibjpeg[all], or store "
            "it uncompressed"
        )


def _is_rescaled(header: Any) -> bool:
    line = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    return line != (1.0, 0.0) or "ModalityLUTSequence" in header


def _inverted(pixels: NDArray[Any], bits: int, *, signed: bool) -> NDArray[Any]:
    """The largest stored value becomes the smallest one, and the other way round."""
    return ~pixels if signed else (pixels.dtype.type((1 << bits) - 1) - pixels)


def _spacing(header: Any) -> tuple[float, float] | None:
    """PixelSpacing. ImagerPixelSpacing is that of the detector, on which a body is larger than it is: not taken."""
    steps = _numbers(header, "PixelSpacing", 2)
    if steps is not None and min(steps) <= 0:
        raise Unreadable(f"has pixels of {steps[0]} x {steps[1]} mm, expected numbers above 0")
    return steps  # type: ignore[return-value]


def _orientation(header: Any) -> tuple[float, ...] | None:
    cosines = _numbers(header, "ImageOrientationPatient", 6)
    if cosines is None:
        return None
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    off = max(abs(row @ row - 1), abs(column @ column - 1), abs(row @ column))
    if off > _COSINES:
        raise Unreadable(f"has direction cosines {list(cosines)}, expected two unit vectors at a right angle")
    return cosines


def _numbers(header: Any, name: str, count: int) -> tuple[float, ...] | None:
    """An attribute of that many numbers; None if the file lacks it or leaves it empty."""
    if not header.get(name):
        return None
    numbers = tuple(float(number) for number in header[name].value)
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise Unreadable(f"has {name} {list(numbers)}, expected {count} finite numbers")
    return numbers
