"""Reads the label maps (n, *size) of one image from a file, or from a folder of pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import nifti
from fastpunet.data.labels import class_indices
from fastpunet.data.npz import member_names, read_members
from fastpunet.data.picture_masks import read_labels
from fastpunet.data.reading import Unreadable, check_unpacked, reading
from fastpunet.optional import require

MEMBERS = ("labels", "hypotheses", "samples", "masks")  # of an npz file, the first that is there
_LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")  # Pillow's, of pages that hold whole numbers
_STEM = "hypotheses"  # of the files that `fastpunet sample` writes, beside those of modes and maps


class Stored(NamedTuple):
    """Label maps as their files hold them."""

    values: NDArray[Any]  # (n, H, W) or (n, D, H, W), real numbers
    white: int  # the largest value that a pixel of the file can have


def read(path: Path, binary: bool) -> NDArray[np.uint8]:
    """The class indices uint8 (n, *size) of all hypotheses of one image.

    path     a file, or a folder of pictures, one for each hypothesis, or of what `fastpunet sample` wrote
    binary   whether they have two classes, stored as 0 and 1, or as 0 and the largest value

    Raises FileNotFoundError, and ValueError for files that are truncated or of another kind, and for other values.
    """
    reader = _reader(path)
    if reader is None:
        raise ValueError(f"hypotheses: {path} has an unknown format, expected a folder of PNG, or {', '.join(READERS)}")
    stored = reader(path)
    values = stored.values
    if values.dtype.kind not in "biuf":
        raise ValueError(f"hypotheses: {path} holds {values.dtype}, expected class indices; store label maps")
    labels = values.astype(np.uint8) if values.size and values.min() >= 0 and values.max() <= 255 else None
    if labels is None or not np.array_equal(labels, values):
        raise ValueError(f"hypotheses: {path} holds other values than class indices 0 .. 255; store label maps")
    return class_indices(labels, stored.white, binary, path)


def is_stored(path: Path) -> bool:
    """Whether a path may hold the hypotheses of one image, by its name."""
    return _reader(path) is not None


def _reader(path: Path) -> Callable[[Path], Stored] | None:
    if path.is_dir():
        return _read_folder
    return next((read for suffix, read in READERS.items() if path.name.lower().endswith(suffix)), None)


def count(path: Path) -> int:
    """The number of hypotheses of one image. Pictures in a folder are not read for it."""
    if path.is_dir() and len(chosen := _of_image(path)) > 1:
        return len(chosen)
    reader = _reader(path)
    return 0 if reader is None else len(reader(path).values)


def _of_image(folder: Path) -> list[Path]:
    """The files of a folder that hold hypotheses, in the order of the numbers in their names.

    Of an answer of `fastpunet sample` these are the files called hypotheses, else all PNG files.
    """
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    named = [file for file in files if re.split("[.-]", file.name)[0] == _STEM and is_stored(file)]
    found = named or [file for file in files if file.suffix.lower() == ".png"]
    if not found:
        raise ValueError(f"hypotheses: {folder} holds no PNG files and no {_STEM} file; expected those of one image")
    return sorted(found, key=_number)


def _read_folder(path: Path) -> Stored:
    chosen = _of_image(path)
    if len(chosen) == 1:
        return READERS[next(suffix for suffix in READERS if chosen[0].name.lower().endswith(suffix))](chosen[0])
    maps = [read_labels(file) for file in chosen]
    sizes = {labels.values.shape for labels in maps}
    if len(sizes) > 1:
        raise ValueError(f"hypotheses: {path} holds pictures of several sizes, {sorted(sizes)[:3]}; expected one size")
    return Stored(np.stack([labels.values for labels in maps]), max(labels.white for labels in maps))


def _number(file: Path) -> tuple[int, str]:
    """The last number in a file's name, by which its hypotheses are in order: 2 before 10."""
    numbers = re.findall(r"\d+", file.stem)
    return int(numbers[-1]) if numbers else -1, file.name


def _read_npz(path: Path) -> Stored:
    import zipfile

    with reading(path, "an npz file", "hypotheses"), zipfile.ZipFile(path) as bundle:
        names = member_names(bundle)
    name = next((name for name in MEMBERS if name in names), None)
    if name is None:
        raise ValueError(
            f"hypotheses: {path} holds {', '.join(sorted(names)[:5])}, expected one of {', '.join(MEMBERS)}"
        )
    (values,) = read_members(path, (name,))
    return Stored(values, 255)


def _read_npy(path: Path) -> Stored:
    with reading(path, "a npy file", "hypotheses"):
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        check_unpacked(path, mapped.nbytes, "bundle")
        return Stored(np.array(mapped), 255)


def _read_nifti(path: Path) -> Stored:
    """(H, W, D, n) to (n, D, H, W), and to (n, H, W) if D is 1; a file of three axes is one hypothesis."""
    nibabel = require("nibabel", "reading NIfTI files")
    with reading(path, "a NIfTI file", "hypotheses"):
        header = nifti.open_header(path)
        shape = tuple(int(side) for side in header.get_data_shape())
        if not 2 <= len(shape) <= 4 or min(shape) < 1:
            raise Unreadable(f"holds {shape}, expected (H, W, D, n)")
        nifti.check_space(path, header, math.prod(shape), "bundle")
        values = np.asanyarray(nibabel.arrayproxy.ArrayProxy(path, header)).reshape((*shape, 1, 1)[:4])
    stack = values.transpose(3, 2, 0, 1)
    return Stored(stack[:, 0] if stack.shape[1] == 1 else stack, 255)


def _read_tiff(path: Path) -> Stored:
    module = require("PIL.Image", "reading images")
    sequence = require("PIL.ImageSequence", "reading images")
    pages: list[NDArray[Any]] = []
    with reading(path, "a TIFF file", "hypotheses"), path.open("rb") as file, module.open(file) as picture:
        for page in sequence.Iterator(picture):
            if page.mode not in _LABEL_MODES:
                raise Unreadable(f"has a page of mode {page.mode}, expected class indices, in grey or by a palette")
            check_unpacked(path, 4 * (len(pages) + 1) * page.width * page.height, "bundle")
            pages.append(np.asarray(page))
        return Stored(np.stack(pages), 1 if picture.mode == "1" else 255)


def _read_png(path: Path) -> Stored:
    labels = read_labels(path)
    return Stored(labels.values[None], labels.white)


READERS: dict[str, Callable[[Path], Stored]] = {
    ".png": _read_png,
    ".npz": _read_npz,
    ".npy": _read_npy,
    **dict.fromkeys(nifti.SUFFIXES, _read_nifti),
    **dict.fromkeys((".tif", ".tiff"), _read_tiff),
}
