"""What the headers of images say, and images that are there twice."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.checking.report import Report, counted, listed, several, size_text
from fastpunet.data.inputs import Input
from fastpunet.data.inputs.finding import Findings
from fastpunet.data.inputs.recognising import recognise
from fastpunet.optional import require

_SKEW = 1e-2  # cosine of the angle between two axes
_ODD = 0.05  # share up to which images that differ from the rest are odd; more of them are a mixture


def describe_images(report: Report, found: Findings) -> None:
    """Add what headers say: formats, sizes, channels, spacing, axes; and what cannot be read or does not fit."""
    images = found.inputs
    for message in found.refused:
        report.failure(message)
    within = [path for path in found.ignored if recognise(path) not in (None, "dicom")]
    if within:
        report.note(
            f"{several(len(within), 'file')} in subfolders passed over, because only DICOM files are taken from there: "
            f"{listed(f'{path.parent.name}/{path.name}' for path in within)}; name the subfolders, or lay out a data "
            "set as images/ and masks/<rater>/"
        )
    others = [path for path in found.ignored if path not in within]
    if others:
        report.note(f"passed over, because they are not images: {listed(path.name for path in others)}")
    if not images:
        return
    report.facts["images"] = f"{len(images)}: {counted(image.format for image in images)}"
    report.facts["sizes"] = counted(size_text(image.size) for image in images)
    report.facts["channels"] = counted(str(image.channels) for image in images)
    report.facts["spacing"] = counted(spacing_text(image.spacing) for image in images)
    if any(image.grid for image in images):
        report.facts["axes"] = counted(map(axes_of, images)) + " (rows, columns, slices)"
    report.images = [
        {
            "name": image.name,
            "files": [str(path) for path in image.files],
            "format": image.format,
            "size": list(image.size),
            "channels": image.channels,
            "spacing_mm": None if image.spacing is None else list(image.spacing),
            "axes": axes_of(image) if image.grid else None,
        }
        for image in images
    ]
    _compare_headers(report, images)


def find_duplicates(report: Report, images: Sequence[Input]) -> None:
    """Add images that are there twice under two names, as training and test images may be."""
    alike: dict[Hashable, list[Input]] = defaultdict(list)
    for image in images:
        alike[(image.size, sum(path.stat().st_size for path in image.files))].append(image)
    for group in alike.values():
        same: dict[bytes, list[str]] = defaultdict(list)
        for image in group if len(group) > 1 else []:
            same[_digest(image)].append(image.name)
        for names in same.values():
            if len(names) > 1:
                report.problem(f"the same image under several names: {listed(names)}; keep one of them")


def spacing_text(spacing: tuple[float, ...] | None) -> str:
    """A spacing as people write it.

    >>> spacing_text((2.5, 0.703125, 0.703125)), spacing_text(None)
    ('2.5 x 0.703 x 0.703 mm', 'unknown')
    """
    return "unknown" if spacing is None else " x ".join(f"{step:.3g}" for step in spacing) + " mm"


def axes_of(image: Input) -> str:
    """Where rows, columns and slices run, nearly: PLS is to the back, to the left and to the head."""
    if image.grid is None:
        return "unknown"
    nibabel = require("nibabel", "reading the axes of images")
    codes = nibabel.orientations.aff2axcodes(image.grid.affine)
    return "".join(code or "?" for code in codes[: len(image.size)])


def _compare_headers(report: Report, images: Sequence[Input]) -> None:
    dims = Counter(len(image.size) for image in images)
    if len(dims) > 1:
        report.problem(
            f"{several(dims[2], 'image')} of two dimensions beside {several(dims[3], 'volume')}; work on them "
            "separately"
        )
    _compare(report, images, "channels", lambda image: several(image.channels, "channel"), mixed_is_problem=True)
    _compare(report, images, "sizes", lambda image: size_text(image.size), mixed_is_problem=False)
    placed = [image for image in images if image.grid]
    if len(dims) == 1:
        _compare(report, placed, "axes", axes_of, mixed_is_problem=True)
    sheared = [image.name for image in placed if image.grid and _is_sheared(image.grid.affine)]
    if sheared:
        report.problem(
            f"{several(len(sheared), 'image')} with axes that are not at right angles, so that lengths and volumes are "
            f"wrong: {listed(sheared)}; resample"
        )
    _compare(report, images, "spacings", lambda image: spacing_text(image.spacing), mixed_is_problem=False)


def _compare(
    report: Report, images: Sequence[Input], what: str, of: Callable[[Input], str], *, mixed_is_problem: bool
) -> None:
    """Add a problem if a few images differ from the rest, and a problem or a note if there is no rest."""
    found = Counter(map(of, images))
    if len(found) < 2:
        return
    usual, count = found.most_common(1)[0]
    odd = [f"{image.name} ({of(image)})" for image in images if of(image) != usual]
    if len(odd) <= max(1, _ODD * len(images)) and count > 1:
        report.problem(f"{len(odd)} of {len(images)} images have other {what} than the rest, {usual}: {listed(odd)}")
    elif mixed_is_problem:
        report.problem(f"images have different {what}: {counted(map(of, images))}")
    else:
        report.note(f"images have different {what}: {counted(map(of, images))}")


def _is_sheared(affine: NDArray[np.float64]) -> bool:
    """Whether two axes are further from a right angle than rounding explains."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > _SKEW)


def _digest(image: Input) -> bytes:
    """Of the files, or, where a file holds many images, of the image."""
    content = hashlib.sha256()
    if image.format == "npz":
        try:
            content.update(image.read().tobytes())
        except (ValueError, OSError):  # is a problem of its own
            content.update(image.name.encode())
        return content.digest()
    for path in image.files:
        content.update(path.read_bytes())
    return content.digest()
