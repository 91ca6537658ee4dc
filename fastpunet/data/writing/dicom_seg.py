"""DICOM segmentations (SEG) that lie over the slices of their series, written by highdicom."""

from __future__ import annotations

import io
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.inputs import Input
from fastpunet.data.reading import reading
from fastpunet.data.writing.content import Hypotheses
from fastpunet.data.writing.dicom_sources import over_sources, read_sources
from fastpunet.files import write_bytes
from fastpunet.optional import require

_LONGEST_LABEL = 64  # characters of a DICOM long string
_MOST_SEGMENTS = 65535


def write_hypotheses(target: Path, hypotheses: Hypotheses) -> list[Path]:
    """TARGET.dcm, of type BINARY: a segment for each hypothesis, or for each hypothesis and class above 0."""
    masks, labels = _segments(hypotheses)
    path = target.with_name(f"{target.name}.dcm")
    write_bytes(path, encoded(hypotheses.image, masks, labels))
    return [path]


def encoded(image: Input, masks: NDArray[np.uint8], labels: list[str]) -> bytes:
    """The content of a file with masks (D, H, W, segments) in {0, 1}, D = 1 for an image, and a label for each segment.

    Raises ValueError for an image whose files a segmentation cannot refer to.
    """
    sources = read_sources(image)
    with reading(image.files[0], "what a DICOM segmentation can refer to"):  # highdicom's warnings tell patients' names
        return _encoded(masks, labels, sources)


def _encoded(masks: NDArray[np.uint8], labels: list[str], sources: list[Any]) -> bytes:
    highdicom = require("highdicom", "writing DICOM segmentations")
    seg = require("highdicom.seg", "writing DICOM segmentations")
    version = metadata.version("fastpunet")
    written = seg.Segmentation(
        source_images=sources,
        pixel_array=over_sources(masks, sources),
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
        omit_empty_frames=bool(masks.any()),
    )
    content = io.BytesIO()
    written.save_as(content)
    return content.getvalue()


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
