"""Cityscapes: street scenes with one label map of 19 classes each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.images import read_header, read_image
from fastpunet.data.lazy import Header, LazyRecords
from fastpunet.data.leftovers import is_leftover
from fastpunet.data.picture_masks import check_size, read_labels
from fastpunet.data.record import IGNORE, Record
from fastpunet.intensity import EIGHT_BIT, Intensity

CLASSES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)
# sidewalk, person, car, vegetation, road (Kohl et al. 2018, section 4.2); flipped, classes 19 .. 23 in this order
FLIPS = {1: 8 / 17, 11: 7 / 17, 13: 6 / 17, 8: 5 / 17, 0: 4 / 17}

_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # of train ids 0 .. 18
_HIGHEST = 33
_TRAIN_IDS = np.full(256, IGNORE, np.uint8)
_TRAIN_IDS[list(_LABEL_IDS)] = np.arange(len(_LABEL_IDS))

_IMAGE, _LABELS = "_leftImg8bit.png", "_gtFine_labelIds.png"


class CityscapesRecords(LazyRecords):
    """Records read from PNG files on access."""

    def __init__(self, images: list[Path], labels: list[Path], size: tuple[int, int] | None, rule: Intensity) -> None:
        super().__init__(range(len(images)))
        self._images, self._labels, self._size, self._rule = images, labels, size, rule

    @property
    def intensity(self) -> Intensity:
        return self._rule

    def _all_patients(self) -> Sequence[str]:
        return [image.parent.name for image in self._images]

    def _record(self, place: int) -> Record:
        file = self._images[place]
        image, labels = read_image(file, self._size, self._rule), read_labels(self._labels[place], self._size).values
        if len(image) != 3:
            raise ValueError(f"image: {file} is grey, expected RGB; copy it again")
        check_size(labels.shape, image.shape, self._labels[place])
        masks = _train_ids(labels, self._labels[place])[None]
        return Record(image, masks, id=place, patient=file.parent.name, name=file.name)

    def _header(self, place: int) -> Header:
        found = read_header(self._images[place])
        return Header(self._images[place].name, (found.channels, *(self._size or found.size)), 1)


def read(
    root: str | os.PathLike[str],
    split: str = "train",
    *,
    size: tuple[int, int] | None = None,
    intensity: Intensity | None = None,
) -> CityscapesRecords:
    """List one split of Cityscapes (Cordts et al. 2016, arXiv 1604.01685); pixels are read on access.

    The layout is leftImg8bit/<split>/<city>/*_leftImg8bit.png and gtFine/<split>/<city>/*_gtFine_labelIds.png. Images
    are float32 (3, H, W) in [0, 1], by default 8-bit values divided by 255. Each has one mask uint8 (1, H, W) of the 19
    train ids, in which all other labels become IGNORE. The city is used as the patient. Ids count the images sorted by
    city and name. size: (H, W) to resize to, images bilinearly with antialiasing, labels by nearest neighbour; Kohl et
    al. 2018 use (256, 512).

    Raises FileNotFoundError for a missing folder, no images or an image without labels. Access to a record raises
    ValueError for a truncated file, and for labels above 33 or of another size than the image.
    """
    if size is not None and not (len(size) == 2 and min(size) >= 1):
        raise ValueError(f"size: got {size}, expected (height, width) of at least 1; or leave it out")
    folder = Path(root) / "leftImg8bit" / split
    images = sorted(file for file in folder.glob(f"*/*{_IMAGE}") if not is_leftover(file))
    if not images:
        raise FileNotFoundError(f"root: no images {str(folder / '<city>' / ('*' + _IMAGE))!r}; copy them there")
    labels = [
        Path(root) / "gtFine" / split / image.parent.name / (image.name.removesuffix(_IMAGE) + _LABELS)
        for image in images
    ]
    for file in labels:
        if not file.is_file():
            raise FileNotFoundError(f"root: no labels {str(file)!r}; copy gtFine there, or remove the image")
    return CityscapesRecords(images, labels, size, intensity or EIGHT_BIT)


def _train_ids(labels: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    unknown = np.setdiff1d(labels, (*range(_HIGHEST + 1), 255))  # 255 is how uint8 holds -1, the licence plate
    if unknown.size:
        raise ValueError(
            f"mask: {path} has labels {unknown[:8].tolist()}, expected 0 .. {_HIGHEST} or 255; give labelIds files"
        )
    return _TRAIN_IDS[labels]
