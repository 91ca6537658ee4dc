"""DICOM files: the slices of a series, or of an enhanced file, are a volume; other files are one image each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.dicom.enhanced import read_volume, read_volume_header
from fastpunet.data.dicom.files import SliceHeader, read_header, read_values
from fastpunet.data.dicom.stack import grid_of, in_order
from fastpunet.data.inputs.found import Found, below, names_of, noting
from fastpunet.data.inputs.input import Grid, Input
from fastpunet.intensity import EIGHT_BIT, PERCENTILES


def read(paths: Sequence[Path], refused: list[str]) -> Iterator[Found]:
    """The volumes and images in the files. Files and series that cannot be read are noted in `refused`."""
    series: dict[str, list[SliceHeader]] = defaultdict(list)
    for path in paths:
        with noting(refused, path):
            header = read_header(path)
            if header.enhanced:
                yield _enhanced(path)
                continue
            # Radiographs, ultrasound and other images without a place in the patient are no slices of a volume.
            placed = header.series and header.position is not None
            series[header.series if placed else str(path)].append(header)
    for slices in series.values():
        with noting(refused, slices[0].path):
            yield _image(slices if len(slices) == 1 else in_order(slices))


def _image(slices: Sequence[SliceHeader]) -> Found:
    first, files = slices[0], tuple(one.path for one in slices)
    affine, spacing = grid_of(slices)
    image = Input(
        "",
        files,
        "dicom",
        first.channels,
        first.size if len(slices) == 1 else (len(slices), *first.size),
        spacing,
        None if affine is None else Grid(affine),
        PERCENTILES if any(one.wide for one in slices) else EIGHT_BIT,
        partial(_values, files),
    )
    return Found(names_of(first.path) if len(slices) == 1 else _names_of_series(first), image)


def _enhanced(path: Path) -> Found:
    header = read_volume_header(path)
    grid = Grid(header.affine)
    load = partial(_slices_of, path)
    return Found(names_of(path), Input("", (path,), "dicom", 1, header.size, header.spacing, grid, PERCENTILES, load))


def _slices_of(path: Path, index: int | None = None) -> NDArray[Any]:
    volume = read_volume(path)
    return volume if index is None else volume[:, index]


def _names_of_series(first: SliceHeader) -> tuple[str, ...]:
    """Names after the folder of a series, because its files are often called by numbers."""
    folder = first.path.absolute().parent
    number = "" if first.series_number is None else f"_series{first.series_number}"
    return folder.name, *below(folder.parent, f"{folder.name}{number}")


def _values(files: Sequence[Path], index: int | None = None) -> NDArray[Any]:
    if len(files) == 1:
        return read_values(files[0])
    if index is not None:
        return read_values(files[index])
    return np.stack([read_values(path) for path in files], axis=1)
