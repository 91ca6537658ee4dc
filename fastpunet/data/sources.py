"""Reads any data set by its kind and path, as configs and command lines give them."""

from __future__ import annotations

import os
from pathlib import Path

from fastpunet.arguments import check_choice
from fastpunet.data.kinds import KINDS, Wanted
from fastpunet.data.record import Records
from fastpunet.intensity import Intensity


def read(
    kind: str | None,
    path: str | os.PathLike[str],
    *,
    binary: bool = True,
    resize: tuple[int, int] | None = None,
    intensity: Intensity | None = None,
    whole: bool = False,
    unmarked: bool = False,
    orientation: str | None = None,
) -> Records:
    """Read the records of a bundle, pickle or folder.

    kind        the kind of data set at `path`, a name in `kinds.KINDS`; None: the kind that `recognise` finds
        lidc        a bundle (.npz), the PyTorch port's pickle, or one part of a lidc_crops tree
        camvid      a bundle (.npz)
        cityscapes  ROOT/train or ROOT/val, ROOT with leftImg8bit and gtFine; resize to (H, W)
        folder      images/ and masks/<rater>/
    binary      folder: masks hold two values, background and foreground, as for models of one or two classes;
                otherwise class indices
    intensity   how stored grey values become floats, such as the rule that a model was trained with; None: as each
                reader does by default
    whole       folder: a NIfTI volume is one record of three dimensions, instead of one record for each slice
    unmarked    folder: slices of NIfTI volumes in which nobody marked anything are records too
    orientation  folder: which way the axes of NIfTI volumes are brought to lie in the body, such as RAS

    Raises ValueError or FileNotFoundError, from the readers, for files that are missing or broken. If the files are of
    another kind, the message says which.
    """
    path = Path(path)
    if kind is not None:
        check_choice("kind", kind, tuple(KINDS))
    wanted = Wanted(binary, resize, intensity, whole, unmarked, orientation)
    try:
        return KINDS[kind or recognise(path)].read(path, wanted)
    except (FileNotFoundError, ValueError) as error:
        found = _kinds(path)
        if kind is None or kind in found or len(found) != 1:
            raise
        suggested = f"{error}; it looks like data of the kind {found[0]}: --kind {found[0]}"
        raise (FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError)(suggested) from None


def recognise(path: str | os.PathLike[str]) -> str:
    """Recognise the kind of data set at a path by the files there, without reading a pixel.

    Raises FileNotFoundError for a missing path, and ValueError, with a description of each kind, if it is none of
    `KINDS` or could be two of them.
    """
    place = Path(path)
    found = _kinds(place)
    if len(found) == 1:
        return found[0]
    if not place.exists():
        raise FileNotFoundError(f"data: no file or folder {str(place)!r}")
    if found:
        raise ValueError(f"data: {place} could be {' or '.join(found)}; say which with --kind")
    parts = [entry.name for entry in sorted(place.glob("*")) if _kinds(entry)]
    if parts:
        raise ValueError(f"data: {place} holds {', '.join(parts[:8])}, expected one of them; add its name to the path")
    *others, last = (f"{kind.looks} ({name})" for name, kind in KINDS.items())
    raise ValueError(f"data: {place} is not a data set that fastpunet knows; expected {'; '.join(others)}; or {last}")


def _kinds(path: Path) -> list[str]:
    """The kinds of data set that the path may be."""
    return [name for name, kind in KINDS.items() if kind.is_at(path)]
