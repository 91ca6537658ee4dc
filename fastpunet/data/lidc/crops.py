"""LIDC crops as PNG files, in the layout of DeepMind's lidc_crops."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.images import read_header, read_image
from fastpunet.data.labels import class_indices
from fastpunet.data.lazy import Header, LazyRecords
from fastpunet.data.leftovers import is_leftover
from fastpunet.data.picture_masks import check_size, mask_size, read_labels
from fastpunet.data.record import Record
from fastpunet.intensity import Intensity

_MASK = re.compile(r"(?P<crop>.+)_l(?P<labeller>\d+)\.png")


class CropRecords(LazyRecords):
    """Records read from PNG files on access: an image and its masks, in the order of the labellers."""

    def __init__(self, images: list[Path], masks: list[list[Path]], rule: Intensity | None) -> None:
        super().__init__(range(len(images)))
        self._images, self._masks, self._rule = images, masks, rule

    @property
    def intensity(self) -> Intensity:
        return self._rule or read_header(self._images[self._places[0]]).intensity

    def _all_patients(self) -> Sequence[str]:
        return [image.parent.name for image in self._images]

    def _record(self, place: int) -> Record:
        file = self._images[place]
        image = read_image(file, intensity=self._rule)
        masks = np.stack([_read_mask(mask, image.shape) for mask in self._masks[place]])
        raters = tuple(mask.stem.rpartition("_")[2] for mask in self._masks[place])
        return Record(image, masks, id=place, patient=file.parent.name, name=_name(file), raters=raters)

    def _header(self, place: int) -> Header:
        found = read_header(self._images[place])
        shape = (found.channels, *found.size)
        for mask in self._masks[place]:
            check_size(mask_size(mask), shape, mask)
        return Header(_name(self._images[place]), shape, len(self._masks[place]))


def read_crops(path: str | os.PathLike[str], *, intensity: Intensity | None = None) -> CropRecords:
    """List one split of lidc_crops; pixels are read on access.

    The layout is that of the data published with the Hierarchical Probabilistic U-Net (Kohl et al. 2019, arXiv
    1905.13077): images/<patient>/z-<position>_c<crop>.png and gt/<patient>/z-<position>_c<crop>_l<labeller>.png,
    labellers 0 to 3 or 1 to 4. Images come as float32 (1, H, W) in [0, 1], 8-bit values by default divided by 255,
    masks (0/1 or 0/255 in the files) as uint8 (4, H, W) 0/1, empty where a labeller outlined nothing; ids count the
    images sorted by name.

    Raises FileNotFoundError for missing folders or images, ValueError for an image without the masks of all four; on
    access ValueError for a truncated file, a mask of another size or one that is not binary.
    """
    root = Path(path)
    for folder in (root / "images", root / "gt"):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"path: no folder {str(folder)!r}; expected images/ and gt/; give one split, such as lidc_crops/train"
            )
    images = sorted(file for file in root.glob("images/*/*.png") if not is_leftover(file))
    if not images:
        raise FileNotFoundError(f"path: no images {str(root / 'images' / '<patient>' / '*.png')!r}; copy them there")
    found = _masks(root / "gt")
    counted_from_0 = any(0 in labellers for labellers in found.values())
    expected = list(range(4)) if counted_from_0 else list(range(1, 5))
    masks = []
    for image in images:
        labellers = found[image.parent.name, image.stem]
        if sorted(labellers) != expected:
            raise ValueError(
                f"gt: {image} has masks of labellers {sorted(labellers)}, expected {expected}; copy its masks again"
            )
        masks.append([labellers[k] for k in expected])
    return CropRecords(images, masks, intensity)


def _masks(folder: Path) -> dict[tuple[str, str], dict[int, Path]]:
    """Mask files by (patient, crop) and labeller."""
    found: dict[tuple[str, str], dict[int, Path]] = defaultdict(dict)
    for file in folder.glob("*/*.png"):
        if not is_leftover(file) and (match := _MASK.fullmatch(file.name)):
            found[file.parent.name, match["crop"]][int(match["labeller"])] = file
    return found


def _read_mask(path: Path, image: tuple[int, ...]) -> NDArray[np.uint8]:
    mask = read_labels(path)
    check_size(mask.values.shape, image, path)
    return class_indices(*mask, True, path)


def _name(image: Path) -> str:
    return f"{image.parent.name}/{image.name}"
