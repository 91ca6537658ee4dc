"""LIDC slices in a pickle, in the layout of the PyTorch port."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.lazy import Header, LazyRecords
from fastpunet.data.lidc import plain_pickle
from fastpunet.data.reading import check_unpacked, reading
from fastpunet.data.record import Record
from fastpunet.intensity import EIGHT_BIT, Intensity

_MEMBERS = ("image", "masks", "series_uid")


class PickledRecords(LazyRecords):
    """Records kept in memory: images float32 (H, W), masks uint8 (M, H, W)."""

    def __init__(
        self,
        images: list[NDArray[np.float32]],
        masks: list[NDArray[np.uint8]],
        patients: list[str],
        names: list[str],
        rule: Intensity,
    ) -> None:
        super().__init__(range(len(images)))
        self._images, self._masks, self._patients, self._names, self._rule = images, masks, patients, names, rule

    @property
    def intensity(self) -> Intensity:
        return self._rule

    def _all_patients(self) -> Sequence[str]:
        return self._patients

    def _record(self, place: int) -> Record:
        image = self._images[place][None]
        if self._rule != EIGHT_BIT:
            image = self._rule.apply(image * np.float32(255))
        return Record(image, self._masks[place], id=place, patient=self._patients[place], name=self._names[place])

    def _header(self, place: int) -> Header:
        return Header(self._names[place], (1, *self._images[place].shape), len(self._masks[place]))


def read_pickle(path: str | os.PathLike[str], *, intensity: Intensity | None = None) -> PickledRecords:
    """Read key -> {"image": float (H, W) in [0, 1], "masks": M masks (H, W) of 0 and 1 or 255, "series_uid": str}.

    The layout is that of github.com/stefanknegt/Probabilistic-Unet-Pytorch. Images come as float32 (1, H, W), masks as
    uint8 (M, H, W), the series as patient; ids count the keys in the file's order. The layout stores 8-bit grey values
    divided by 255; `intensity` counts in grey values, so that its default, 0 .. 255, leaves them as they are. Nothing
    that the file names is run: see `plain_pickle`.

    Raises FileNotFoundError, and ValueError for a file that is truncated, no pickle, asks for anything but NumPy arrays
    or whose content is not as above.
    """
    content = plain_pickle.load(Path(path))
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f"path: {path} holds {_kind(content)}, expected a dict with at least one record; copy it again"
        )
    images, masks, patients, names = [], [], [], []
    pixels = 0  # bytes of all arrays: a small file may name one array many times
    for key in list(content):
        if not isinstance(key, str | int):
            raise ValueError(f"path: {path} has a key of type {type(key).__name__}, expected str; make the file again")
        entry, where = content.pop(key), f"path: {path}, record {key!r}"
        if not isinstance(entry, dict):
            raise ValueError(f"{where}: got {_kind(entry)}, expected a dict; make the file again")
        if missing := [member for member in _MEMBERS if member not in entry]:
            raise ValueError(f"{where}: got no {missing}, expected {', '.join(_MEMBERS)}; make the file again")
        if not isinstance(entry["series_uid"], str):
            raise ValueError(
                f"{where}: series_uid: got {_kind(entry['series_uid'])}, expected str; make the file again"
            )
        images.append(_image(entry["image"], where))
        pixels += images[-1].size * (images[-1].itemsize + _count(entry["masks"], where))
        with reading(Path(path), "a pickle of arrays", "path"):
            check_unpacked(Path(path), pixels, "bundle")
        masks.append(_masks(entry["masks"], images[-1].shape, where))
        patients.append(str(entry["series_uid"]))
        names.append(str(key))
    return PickledRecords(images, masks, patients, names, intensity or EIGHT_BIT)


def _image(image: Any, where: str) -> NDArray[np.float32]:
    if not isinstance(image, np.ndarray) or image.ndim != 2 or image.dtype.kind != "f" or not image.size:
        raise ValueError(f"{where}: image: got {_kind(image)}, expected a float array (H, W); make the file again")
    low, high = image.min(), image.max()
    if not 0 <= low <= high <= 1:
        raise ValueError(f"{where}: image: got values from {low} to {high}, expected 0 to 1; scale it and leave no NaN")
    return image.astype(np.float32)


def _count(masks: Any, where: str) -> int:
    """How many masks there are."""
    several = isinstance(masks, list) or (isinstance(masks, np.ndarray) and masks.ndim == 3)
    if not several or not len(masks):
        raise ValueError(
            f"{where}: masks: got {_kind(masks)}, expected a list of at least one mask; leave the record out"
        )
    return len(masks)


def _masks(masks: Any, shape: tuple[int, ...], where: str) -> NDArray[np.uint8]:
    graders = list(masks)
    for grader, mask in enumerate(graders):
        if not isinstance(mask, np.ndarray) or mask.shape != shape:
            raise ValueError(f"{where}: mask {grader}: got {_kind(mask)}, expected an array {shape} as the image has")
        high = 255 if mask.dtype.kind in "iuf" and (mask == 255).any() else 1
        if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, high)).all():
            raise ValueError(f"{where}: mask {grader}: got {_kind(mask)} with other values than 0 and 1; threshold it")
    return (np.stack(graders) != 0).astype(np.uint8)


def _kind(value: Any) -> str:
    return f"{value.dtype} array {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
