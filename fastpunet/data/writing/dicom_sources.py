"""The DICOM files that a segmentation refers to, as highdicom takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.dicom.enhanced import volume_geometry
from fastpunet.data.dicom.files import is_enhanced, open_header
from fastpunet.data.inputs import Input
from fastpunet.data.reading import reading

_MAY_BE_EMPTY = (  # attributes that a SEG copies from its source, and that a DICOM file must have but may leave empty
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")


def read_sources(image: Input) -> list[Any]:
    """The headers of the image's files. Raises ValueError if they are no DICOM files, or lack what a SEG needs."""
    if image.format != "dicom":
        raise ValueError(
            f"format: got seg for {image.name}, which is {image.format}, expected a DICOM image; write nifti or npz"
        )
    headers = [_header(path, image) for path in image.files]
    for header in headers:
        _complete(header, image, headers[0])
    return headers


def over_sources(masks: NDArray[np.uint8], headers: Sequence[Any]) -> Any:
    """Masks (D, H, W, segments) as highdicom takes them: with their place in space if one file holds all slices."""
    if not is_enhanced(headers[0]):
        return masks
    return volume_geometry(headers[0]).with_array(masks, channels={"SegmentNumber": range(1, masks.shape[3] + 1)})


def _header(path: Path, image: Input) -> Any:
    """The header of one file, after checks that a segmentation can refer to it."""
    with reading(path, "a DICOM file"):
        header = open_header(path)
    if is_enhanced(header) and len(image.size) == 2:
        raise ValueError(
            f"format: got seg for {image.name}, one of the slices in {path}, expected the volume; write nifti or npz"
        )
    needed = _NEEDED if image.grid is None else (*_NEEDED, "FrameOfReferenceUID")
    if image.grid is not None and len(image.size) == 2:
        needed = (*needed, "SliceThickness")
    lacking = [name for name in needed if not header.get(name)]
    if lacking:
        raise ValueError(
            f"format: got seg for {path}, which lacks {', '.join(lacking)}, expected all that a DICOM segmentation "
            "refers to; write nifti or npz"
        )
    return header


def _complete(header: Any, image: Input, first: Any) -> None:
    """Set, in a header that is only copied from, what highdicom asks for and many files lack or round."""
    for name in _MAY_BE_EMPTY:
        header.setdefault(name, "")
    if is_enhanced(header):
        return
    if image.grid is None:
        header.pop("FrameOfReferenceUID", None)  # it names a space in which the file gives no place
    else:
        header.ImageOrientationPatient = first.ImageOrientationPatient
    if len(image.size) == 3 and image.spacing is not None:
        header.SpacingBetweenSlices = image.spacing[0]
        header.SliceThickness = header.get("SliceThickness") or image.spacing[0]
