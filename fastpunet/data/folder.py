"""Your own data: a folder of images and a folder of masks for each rater."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import nifti
from fastpunet.data.images import check_size, read_image, read_labels
from fastpunet.data.lazy import LazyRecords
from fastpunet.data.record import IGNORE, Record

_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_MASKS = (".png", *nifti.SUFFIXES)


@dataclass(frozen=True)
class _Source:
    image: Path
    masks: list[Path]
    patient: str
    slice: int | None = None  # of a NIfTI volume
    window: tuple[float, float] = (0.0, 1.0)  # NIfTI grey levels that become 0 and 1


class FolderRecords(LazyRecords):
    """Records read from image files on access."""

    def __init__(self, sources: list[_Source], binary: bool | None) -> None:
        super().__init__(range(len(sources)))
        self._sources, self._binary = sources, binary

    def _all_patients(self) -> Sequence[str]:
        return [source.patient for source in self._sources]

    def _record(self, place: int) -> Record:
        source = self._sources[place]
        if _is_nifti(source.image):
            image = nifti.scaled(nifti.read(source.image, source.slice), *source.window)[None]
            maps = [_classes(nifti.read_labels(file, source.slice), bool(self._binary), file) for file in source.masks]
        else:
            image = read_image(source.image)
            maps = [_classes(read_labels(file), self._binary, file) for file in source.masks]
        for labels, file in zip(maps, source.masks, strict=True):
            check_size(labels, image, file)
        return Record(image, np.stack(maps), id=place, patient=source.patient)


def read(root: str | os.PathLike[str], *, binary: bool | None = None) -> FolderRecords:
    """List images/<name>.<ext> and masks/<rater>/<name>.<ext>; pixels are read on access.

    Images are PNG, JPEG or TIFF with PNG masks, or NIfTI (.nii, .nii.gz) with NIfTI masks. A rater may lack images:
    such a record has fewer masks. Masks come in the order of the raters' names. The patient is the name up to the first
    "__" or else all of it: p07__left.png is of patient p07. Ids count the records sorted by name.

    Images come as float32 (C, H, W) in [0, 1]. 8-bit values are divided by 255, 16-bit ones by 65535; NIfTI voxels are
    scaled so that percentiles 0.5 and 99.5 of the volume become 0 and 1, and clipped. Every slice along the last axis
    of a NIfTI volume in which at least one rater marked something is a record; axes stay as stored, and the files'
    affines are not compared. Slices are read from .nii faster than from .nii.gz.

    Masks are uint8 (M, H, W). binary=True: the files hold 0 and 1, or 0 and 255. binary=False: class indices, 255 for
    pixels that are not annotated (IGNORE); of palette images the indices count. None: as False, but a mask in which 255
    is all there is besides 0 is an error, because it may mean either.

    Raises FileNotFoundError for missing folders, images, or an image that no rater has; ValueError for a mask without
    an image, for two images of one name, and for NIfTI files that cannot be read; on access ValueError for a file that
    is truncated or of another kind, a mask of another size or with other values.
    """
    images, raters = _by_name(Path(root) / "images", (*_PICTURES, *nifti.SUFFIXES)), _raters(Path(root) / "masks")
    for files in raters:
        for name, file in files.items():
            if name not in images or _is_nifti(images[name]) != _is_nifti(file):
                raise ValueError(f"root: {file} is a mask without its image; add the image, or remove the mask")
    sources: list[_Source] = []
    for name, image in sorted(images.items()):
        masks = [files[name] for files in raters if name in files]
        if not masks:
            raise FileNotFoundError(f"root: no rater has a mask of {image}; expected masks/<rater>/{name}.*; add one")
        patient = name.split("__")[0] or name
        if _is_nifti(image):
            sources.extend(_slices(image, masks, patient, binary))
        else:
            sources.append(_Source(image, masks, patient))
    if not sources:
        raise ValueError(f"root: {root} has no slice in which a rater marked something; check the masks")
    return FolderRecords(sources, binary)


def _raters(folder: Path) -> list[dict[str, Path]]:
    raters = [rater for rater in sorted(folder.glob("*")) if rater.is_dir() and not rater.name.startswith(".")]
    if not raters:
        raise FileNotFoundError(f"root: no folders {str(folder / '<rater>')!r}; expected one of masks for each rater")
    return [_by_name(rater, _MASKS) for rater in raters]


def _by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files of a folder by name without suffix; hidden files are passed over."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("[!.]*")):
        suffix = next((suffix for suffix in suffixes if file.name.lower().endswith(suffix)), None)
        if suffix is None:
            raise ValueError(f"root: got {file}, expected files {', '.join(suffixes)}; convert or remove it")
        name = file.name[: -len(suffix)]
        if name in found:
            raise ValueError(f"root: {found[name]} and {file} have one name, expected different ones; rename one")
        found[name] = file
    if not found:
        raise FileNotFoundError(
            f"root: no files {str(folder / '*')!r}; expected {', '.join(suffixes)}; copy them there"
        )
    return found


def _slices(image: Path, masks: list[Path], patient: str, binary: bool | None) -> Iterator[_Source]:
    voxels = nifti.read(image)
    window = nifti.window(voxels)
    marked = np.zeros(voxels.shape[2:], bool)
    for file in masks:
        labels = _classes(nifti.read_labels(file), binary, file)
        check_size(labels, voxels[None], file)
        marked |= ((labels != 0) & (labels != IGNORE)).any(axis=(0, 1))
    if voxels.ndim == 2:
        yield _Source(image, masks, patient, None, window)
    else:
        yield from (_Source(image, masks, patient, int(k), window) for k in np.flatnonzero(marked))


def _classes(labels: NDArray[np.uint8], binary: bool | None, path: Path) -> NDArray[np.uint8]:
    """Class indices from pixel values."""
    values = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[1:]) + 1
    if binary:
        if list(values) not in ([], [1], [255]):
            raise ValueError(
                f"mask: {path} holds values {values[:8]}, expected 0 and 1, or 0 and 255; "
                "threshold it, or pass binary=False if they are class indices"
            )
        return (labels != 0).astype(np.uint8)
    if binary is None and list(values) == [255]:
        raise ValueError(
            f"mask: {path} holds only 0 and 255, expected class indices; pass binary=True if 255 is the "
            "foreground, binary=False if it means not annotated"
        )
    return labels


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(nifti.SUFFIXES)
