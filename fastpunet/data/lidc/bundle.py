"""LIDC slices in an npz bundle, a bit per pixel and mask."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.lazy import Header, LazyRecords
from fastpunet.data.npz import as_text, read_members, read_optional
from fastpunet.data.record import Record
from fastpunet.intensity import EIGHT_BIT, Intensity

_TRACES = ("series_uid", "nodule", "slice", "spacing_mm")  # members that a bundle may lack


@dataclass(frozen=True)
class Traces:
    """Where each of the N slices comes from; None: the bundle does not say."""

    series: list[str] | None
    nodules: NDArray[np.integer] | None
    slices: NDArray[np.integer] | None
    spacing: NDArray[np.floating] | None

    def name(self, place: int) -> str:
        if self.series is None:
            return ""
        return self.series[place] if self.nodules is None else f"{self.series[place]}, nodule {self.nodules[place]}"

    def slice(self, place: int) -> int | None:
        return None if self.slices is None else int(self.slices[place])

    def spacing_mm(self, place: int) -> tuple[float, ...] | None:
        return None if self.spacing is None else (float(self.spacing[place]),) * 2


class PackedRecords(LazyRecords):
    """Records kept as uint8 images (N, H, W) and packed masks (N, M, H, ceil(W / 8)), unpacked on access."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        masks_packed: NDArray[np.uint8],
        patients: list[str],
        traces: Traces,
        rule: Intensity,
    ) -> None:
        super().__init__(range(len(images)))
        self._images, self._masks, self._patients = images, masks_packed, patients
        self._traces, self._rule = traces, rule

    @property
    def intensity(self) -> Intensity:
        return self._rule

    def _all_patients(self) -> Sequence[str]:
        return self._patients

    def _record(self, place: int) -> Record:
        image = self._rule.apply(self._images[place])[None]
        return Record(
            image,
            np.unpackbits(self._masks[place], axis=-1, count=image.shape[-1]),
            id=place,
            patient=self._patients[place],
            name=self._traces.name(place),
            slice=self._traces.slice(place),
            spacing=self._traces.spacing_mm(place),
        )

    def _header(self, place: int) -> Header:
        name = self._traces.name(place) or f"record {place}"
        return Header(name, (1, *self._images.shape[1:]), self._masks.shape[1], self._traces.spacing_mm(place))


def read_npz(path: str | os.PathLike[str], *, intensity: Intensity | None = None) -> PackedRecords:
    """Read a bundle with `images` uint8 (N, H, W), `masks_packed` uint8 (N, M, H, ceil(W / 8)) and `patient` (N,).

    Images come as float32 in [0, 1], by default divided by 255, one channel; masks as 0/1; ids count from 0. Where the
    bundle has `series_uid`, `nodule`, `slice` or `spacing_mm`, (N,) each, records name them. Raises FileNotFoundError,
    and ValueError for a file that is truncated, is no npz, lacks a member, is empty or whose members do not fit
    together.
    """
    images, masks, patients = read_members(path, ("images", "masks_packed", "patient"))
    count, height, width = images.shape if images.ndim == 3 else (-1, -1, -1)
    packed = (height, -(-width // 8))
    fits = masks.ndim == 4 and patients.shape == (count,) and len(masks) == count and masks.shape[2:] == packed
    if not fits or images.dtype != np.uint8 or masks.dtype != np.uint8:
        raise ValueError(
            f"path: {path} holds images {images.dtype}{images.shape} and masks_packed {masks.dtype}{masks.shape}; "
            "expected uint8 (N, H, W) and uint8 (N, M, H, ceil(W / 8))"
        )
    if not images.size or not masks.shape[1]:
        raise ValueError(
            f"path: {path} is empty: images {images.shape}, masks_packed {masks.shape}; "
            "expected at least one record with one mask; copy or make it again"
        )
    return PackedRecords(images, masks, as_text(patients), _traces(path, count), intensity or EIGHT_BIT)


def _traces(path: str | os.PathLike[str], count: int) -> Traces:
    found = read_optional(path, _TRACES)
    for name, member in found.items():
        numbers = member.dtype.kind in ("f" if name == "spacing_mm" else "iu")
        if member.shape != (count,) or not (numbers or name == "series_uid"):
            raise ValueError(
                f"path: {path} holds {name} {member.dtype}{member.shape}, expected one a record, ({count},); make the "
                "bundle again"
            )
    series = found.get("series_uid")
    return Traces(
        None if series is None else as_text(series), found.get("nodule"), found.get("slice"), found.get("spacing_mm")
    )
