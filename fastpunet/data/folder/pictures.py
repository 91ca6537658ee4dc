"""Reads the records of a folder of pictures: PNG, JPEG or TIFF."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastpunet.data.folder.layout import Graded
from fastpunet.data.images import read_header, read_image
from fastpunet.data.labels import class_indices, is_binary
from fastpunet.data.lazy import Header
from fastpunet.data.picture_masks import check_size, mask_size, read_labels
from fastpunet.data.record import Record
from fastpunet.intensity import Intensity


@dataclass(frozen=True)
class Picture:
    """One picture and its masks."""

    graded: Graded
    binary: bool | None
    intensity: Intensity | None

    def record(self, place: int) -> Record:
        """Read the record. Raises ValueError for files that are truncated or of another kind, and for wrong masks."""
        image, files = read_image(self.graded.image, intensity=self.intensity), self.graded.masks
        masks = [read_labels(file) for file in files]
        for (values, _), file in zip(masks, files, strict=True):
            check_size(values.shape, image.shape, file)
        if files:
            binary = is_binary([values for values, _ in masks], self.binary, files[0])
            maps = [class_indices(*mask, binary, file) for mask, file in zip(masks, files, strict=True)]
        return Record(
            image,
            np.stack(maps) if files else np.zeros((0, *image.shape[1:]), np.uint8),
            id=place,
            patient=self.graded.patient,
            name=self.graded.image.name,
            raters=self.graded.raters,
        )

    def header(self) -> Header:
        """Read the headers of image and masks. Raises ValueError also for masks of another size."""
        found = read_header(self.graded.image)
        shape = (found.channels, *found.size)
        for file in self.graded.masks:
            check_size(mask_size(file), shape, file)
        return Header(self.graded.image.name, shape, len(self.graded.masks), raters=self.graded.raters)

    def default_intensity(self) -> Intensity:
        return read_header(self.graded.image).intensity


def pictures(graded: Graded, binary: bool | None, intensity: Intensity | None) -> Iterator[Picture]:
    """The one record of a picture; its pixels are not read."""
    yield Picture(graded, binary, intensity)
