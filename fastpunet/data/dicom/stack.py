"""Puts the slices of a DICOM series in order, and finds where they lie in the patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.dicom.files import SliceHeader
from fastpunet.optional import require

_SAME_COSINES = 1e-4  # files of one series differ by rounding
_SAME_PLACE = 0.01  # mm
UNEVEN = 0.05  # of the distance between slices; scanners round positions
TO_RAS = np.diag((-1.0, -1.0, 1.0, 1.0))  # DICOM's axes point to the left and the back, NIfTI's to right and front


def in_order(slices: Sequence[SliceHeader]) -> list[SliceHeader]:
    """The slices of one volume by their position along the normal, which for axial slices points to the head.

    Raises ValueError, with the files' names, for slices of several sizes, spacings or orientations, two slices at one
    place, missing slices, and slices that are shifted against each other as by a tilted gantry.
    """
    _check_alike(slices)
    places = _along_normal(slices)
    ordered = [slices[index] for index in np.argsort(places, kind="stable")]
    steps = np.diff(np.sort(places))
    if steps.size and steps.min() < _SAME_PLACE:
        at = int(steps.argmin())
        _refuse(
            ordered[at],
            f"has the same position as {ordered[at + 1].path}, expected one slice at each position; remove copies, or "
            "separate the series' phases, echoes or repetitions",
        )
    if steps.size and steps.max() > (1 + UNEVEN) * np.median(steps):
        at = int(steps.argmax())
        _refuse(
            ordered[at],
            f"is {steps[at]:.4g} mm from the next slice, {ordered[at + 1].path.name}, expected "
            f"{np.median(steps):.4g} mm as between the others; add the missing slices, or give the parts one by one",
        )
    spatial = require("highdicom.spatial", "reading DICOM series")
    step, _ = spatial.get_volume_positions(
        [one.position for one in ordered], ordered[0].orientation, rtol=UNEVEN, index_convention="RD"
    )
    if step is None:
        _refuse(
            ordered[0],
            f"and the other {len(ordered) - 1} slices of its series do not form a regular stack: they are unevenly "
            "spaced or shifted against each other, as by a tilted gantry; resample the series, for instance with "
            "dcm2niix",
        )
    return ordered


def grid_of(ordered: Sequence[SliceHeader]) -> tuple[NDArray[np.float64] | None, tuple[float, ...] | None]:
    """Affine and spacing of slices in order.

    The affine (4, 4) leads from (row, column, slice, 1) to mm towards right, front and head (RAS+). The spacing is in
    mm along slices, rows and columns, and along rows and columns of a single image. None where the files do not say.
    """
    first, last = ordered[0], ordered[-1]
    if first.spacing is None or first.position is None or first.orientation is None:
        return None, first.spacing
    along_row, along_column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    affine = np.eye(4)
    affine[:3, 0] = along_column * first.spacing[0]
    affine[:3, 1] = along_row * first.spacing[1]
    affine[:3, 2] = np.cross(along_row, along_column)
    affine[:3, 3] = first.position
    if len(ordered) == 1:
        return TO_RAS @ affine, first.spacing
    affine[:3, 2] = (np.array(last.position) - np.array(first.position)) / (len(ordered) - 1)
    return TO_RAS @ affine, (float(np.linalg.norm(affine[:3, 2])), *first.spacing)


def _along_normal(slices: Sequence[SliceHeader]) -> NDArray[np.float64]:
    orientation = slices[0].orientation
    assert orientation is not None
    normal = np.cross(orientation[:3], orientation[3:])
    return np.array([one.position for one in slices]) @ normal


def _check_alike(slices: Sequence[SliceHeader]) -> None:
    lacking = next((one for one in slices if None in (one.position, one.orientation, one.spacing)), None)
    if lacking is not None:
        _refuse(
            lacking,
            "lacks ImagePositionPatient, ImageOrientationPatient or PixelSpacing, which other slices of its series "
            "have; remove it",
        )
    for what, property_of in (
        ("size and channels", lambda one: (*one.size, one.channels)),
        ("spacing", lambda one: one.spacing),
        ("orientation", lambda one: tuple(round(cosine, 3) + 0.0 for cosine in one.orientation or ())),
    ):
        found = Counter(property_of(one) for one in slices)
        if what == "orientation" and _nearly_equal([one.orientation for one in slices]):
            continue
        usual, _ = found.most_common(1)[0]
        odd = next((one for one in slices if property_of(one) != usual), None)
        if odd is not None:
            _refuse(odd, f"has {what} {property_of(odd)}, but the rest of its series has {usual}; separate them")


def _nearly_equal(orientations: Sequence[tuple[float, ...] | None]) -> bool:
    cosines = np.array(orientations)
    return bool(np.abs(cosines - cosines[0]).max() <= _SAME_COSINES)


def _refuse(one: SliceHeader, why: str) -> NoReturn:
    raise ValueError(f"file: {one.path} {why}")
