"""One writer for each format, chosen from a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.arguments import check_choice, check_num_classes
from fastpunet.data.inputs import Input
from fastpunet.data.inputs.names import safe
from fastpunet.data.writing import dicom_seg, nifti_file, npz_file, png, tiff
from fastpunet.data.writing.content import FloatMap, Hypotheses, check_flat
from fastpunet.data.writing.dicom_sources import read_sources


@dataclass(frozen=True)
class Writer:
    """How a format is written: both functions take the path without an ending, and return the paths of the files.

    check   raises ValueError for an image whose hypotheses the format cannot hold
    """

    check: Callable[[Input], object]
    hypotheses: Callable[[Path, Hypotheses], list[Path]]
    map: Callable[[Path, FloatMap], list[Path]]


def _any(image: Input) -> None:
    """Of a format that holds the hypotheses of every image."""


WRITERS = {
    "png": Writer(partial(check_flat, format="png"), png.write_hypotheses, png.write_map),
    "tiff": Writer(partial(check_flat, format="tiff"), tiff.write_hypotheses, tiff.write_map),
    "nifti": Writer(_any, nifti_file.write_hypotheses, nifti_file.write_map),
    "seg": Writer(read_sources, dicom_seg.write_hypotheses, nifti_file.write_map),
    "npz": Writer(_any, npz_file.write_hypotheses, npz_file.write_map),
}
FORMATS = tuple(WRITERS)
_INSTEAD = {"jpeg": "png", "dicom": "seg"}  # of images in these formats; others are answered in their own, or in npz


def check_format(image: Input, format: str | None = None) -> None:
    """Raise ValueError for an image whose hypotheses cannot be written in a format; None: that of the image.

    No pixels are read. Of a DICOM image that is to be written as DICOM SEG the headers of its files are.
    """
    _writer(image, format).check(image)


def write_hypotheses(
    folder: str | os.PathLike[str],
    image: Input,
    labels: NDArray[np.uint8],
    *,
    num_classes: int,
    stem: str = "hypotheses",
    titles: Sequence[str] | None = None,
    format: str | None = None,
) -> list[Path]:
    """Write hypotheses of one image, or its modes, into a folder, which is made if need be; returns the files' paths.

    image        what was segmented; its files must still be there for a DICOM SEG
    labels       uint8 (n, *image.size), class indices, as `fastpunet.sample(...)[0].numpy()` gives them
    num_classes  of the model; 1 and 2 both mean background and foreground
    stem         the beginning of the files' names
    titles       a text for each hypothesis, such as "mode 1, 61 %": the labels of the segments of a DICOM SEG, and
                 `titles` in npz files; other formats keep the order alone. By default "hypothesis 0",
                 "hypothesis 1", ...
    format       by default that of the image, or npz if there is no writer for it; a JPEG's hypotheses are PNG
        png      STEM-0000.png, STEM-0001.png, ...: of two classes one bit per pixel, 0 and 1, which viewers show as
                 black and white and every reader as zero and not zero; of more classes 8 bits, the class indices.
                 Files of such names from an earlier call are removed first
        tiff     STEM.tif, a page for each hypothesis, with values as in PNG files
        nifti    STEM.nii.gz, (H, W, D, n), with D = 1 for images: class indices, with the image's affine and units
        seg      STEM.dcm, a DICOM segmentation (BINARY) that refers to the image's files and lies where they do: a
                 segment for each hypothesis, of more than two classes one for each hypothesis and class above 0
        npz      STEM.npz with `labels` (n, *size), `titles` and, if they are known, `spacing_mm` and `affine`

    Each file is written whole or not at all. Raises TypeError for another dtype; ValueError for another size, labels
    that are no classes, and a format that cannot hold them; and OSError where nothing can be written.
    """
    check_num_classes(num_classes)
    hypotheses = Hypotheses.checked(image, labels, max(2, num_classes), titles)
    return _writer(image, format).hypotheses(_target(folder, stem), hypotheses.as_stored())


def write_map(
    folder: str | os.PathLike[str],
    image: Input,
    values: NDArray[np.floating],
    *,
    stem: str,
    largest: float = 1.0,
    format: str | None = None,
) -> list[Path]:
    """Write a map of real numbers, such as the mean or the entropy, into a folder; returns the files' paths.

    values   floats of the image's size, or (K, *size): a map for each of K classes
    largest  the largest value that the map can have: 1 for a probability, log K for an entropy in nats
    format   by default that of the image
        png      STEM.png (STEM-0.png, STEM-1.png, ...: of classes), 16 bits: pixel / 65535 * largest is the value, as
                 the text "Description" in the file says
        tiff     STEM.tif, float32; a page for each class
        nifti    STEM.nii.gz, float32, with the image's affine and units; classes along the fourth axis
        seg      as nifti, because a DICOM SEG holds no real numbers that common viewers show
        npz      STEM.npz with `values` float32 and, if they are known, `spacing_mm` and `affine`

    Each file is written whole or not at all. Raises the errors of `write_hypotheses`, and ValueError for values that
    are not in 0 .. largest.
    """
    checked = FloatMap.checked(image, values, largest)
    return _writer(image, format).map(_target(folder, stem), checked.as_stored())


def _writer(image: Input, format: str | None) -> Writer:
    if format is None:
        return WRITERS.get(_INSTEAD.get(image.format, image.format), WRITERS["npz"])
    chosen: Any = format
    check_choice("format", chosen, FORMATS)
    return WRITERS[chosen]


def _target(folder: str | os.PathLike[str], stem: str) -> Path:
    """The path without an ending; its folder is there."""
    if safe(stem) != stem:
        raise ValueError(f"stem: got {stem!r}, expected letters, digits, -, _ and ., such as hypotheses")
    target = Path(folder) / stem
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
