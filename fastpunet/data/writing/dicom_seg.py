"""DICOM segmentations (SEG) that lie over the slices of their series, written by highdicom."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.dicom.files import open_header
from fastpunet.data.inputs import Input
from fastpunet.data.optional import require
from fastpunet.data.reading import reading
from fastpunet.data.writing.content import Hypotheses
from fastpunet.files import replacing

_LONGEST_LABEL = 64  # characters of a DICOM long string
_MOST_SEGMENTS = 65535
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


def write_hypotheses(target: Path, hypotheses: Hypotheses) -> list[Path]:
    """TARGET.dcm, of type BINARY: a segment for each hypothesis, or for each hypothesis and class above 0."""
    highdicom = require("highdicom", "writing DICOM segmentations")
    seg = require("highdicom.seg", "writing DICOM segmentations")
    masks, labels = _segments(hypotheses)
    image = hypotheses.image
    sources = _sources(image)
    version = metadata.version("fastpunet")
    written = seg.Segmentation(
        source_images=sources,
        pixel_array=masks,
        segmentation_type="BINARY",
        segment_descriptions=[_description(number, label, version) for number, label in enumerate(labels, 1)],
        series_instance_uid=highdicom.UID(),
        series_number=1000 + int(sources[0].get("SeriesNumber") or 0),
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="fastpunet",
        manufacturer_model_name="fastpunet",
        software_versions=version,
        device_serial_number="none",
        content_description="Hypotheses of a segmentation model; not for diagnosis",
        specific_character_set="ISO_IR 192",
        series_description="fastpunet hypotheses",
    )
    path = target.with_name(f"{target.name}.dcm")
    with replacing(path) as temporary:
        written.save_as(temporary)
    return [path]


def _segments(hypotheses: Hypotheses) -> tuple[NDArray[np.uint8], list[str]]:
    """Masks (D, H, W, segments) in {0, 1}, D = 1 for an image, and the label of each segment."""
    classes = range(1, hypotheses.num_classes)
    stack = np.stack([hypotheses.labels == k for k in classes], axis=1)  # (n, K - 1, *size)
    masks = stack.reshape(-1, *((1,) * (3 - len(hypotheses.image.size))), *hypotheses.image.size)
    labels = [title if len(classes) == 1 else f"{title}, class {k}" for title in hypotheses.titles for k in classes]
    if len(labels) > _MOST_SEGMENTS:
        raise ValueError(f"labels: got {len(labels)} segments, expected at most {_MOST_SEGMENTS}; write nifti or npz")
    for label in labels:
        if not 0 < len(label) <= _LONGEST_LABEL or "\\" in label or not label.isprintable():
            raise ValueError(
                f"titles: got {label!r}, expected 1 to {_LONGEST_LABEL} printable characters other than \\ for DICOM"
            )
    return masks.astype(np.uint8).transpose(1, 2, 3, 0), labels


def _sources(image: Input) -> list[Any]:
    """The headers of the image's files. Raises ValueError if they are no DICOM files, or lack what a SEG needs."""
    if image.format != "dicom":
        raise ValueError(
            f"format: got seg for {image.name}, which is {image.format}, expected a DICOM image; write nifti or npz"
        )
    headers = []
    in_space = () if image.grid is None else ("FrameOfReferenceUID",)
    thickness = ("SliceThickness",) if in_space and len(image.size) == 2 else ()
    needed = (*_NEEDED, *in_space, *thickness)
    for path in image.files:
        with reading(path, "a DICOM file"):
            header = open_header(path)
        lacking = [name for name in needed if not header.get(name)]
        if lacking:
            raise ValueError(
                f"format: got seg for {path}, which lacks {', '.join(lacking)}, expected what a DICOM segmentation "
                "refers to; write nifti or npz"
            )
        headers.append(header)
    for header in headers:
        _complete(header, image, headers[0])
    return headers


def _complete(header: Any, image: Input, first: Any) -> None:
    """Set, in a header that is only copied from, what highdicom asks for and many files lack or round."""
    for name in _MAY_BE_EMPTY:
        header.setdefault(name, "")
    if image.grid is None:
        header.pop("FrameOfReferenceUID", None)  # it names a space in which the file gives no place
    else:
        header.ImageOrientationPatient = first.ImageOrientationPatient
    if len(image.size) == 3 and image.spacing is not None:
        header.SpacingBetweenSlices = image.spacing[0]
        header.SliceThickness = header.get("SliceThickness") or image.spacing[0]


def _description(number: int, label: str, version: str) -> Any:
    highdicom = require("highdicom", "writing DICOM segmentations")
    seg = require("highdicom.seg", "writing DICOM segmentations")
    codes = require("pydicom.sr.codedict", "writing DICOM segmentations").codes
    return seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
        segmented_property_type=codes.DCM.RegionInSpace,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="fastpunet", version=version, family=codes.DCM.ArtificialIntelligence
        ),
        tracking_uid=highdicom.UID(),
        tracking_id=label,
    )
