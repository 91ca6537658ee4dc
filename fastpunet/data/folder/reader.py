"""Reads a folder of images and masks as records."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fastpunet.data.folder.layout import is_nifti, list_images
from fastpunet.data.folder.pictures import Picture, pictures
from fastpunet.data.folder.volumes import VolumePart, volume_parts
from fastpunet.data.lazy import Header, LazyRecords
from fastpunet.data.record import Record
from fastpunet.intensity import Intensity
from fastpunet.models.orientation import check_orientation


class FolderRecords(LazyRecords):
    """Records read from image files on access."""

    def __init__(self, sources: list[Picture | VolumePart], intensity: Intensity | None = None) -> None:
        super().__init__(range(len(sources)))
        self._sources, self._given = sources, intensity

    @property
    def files(self) -> list[Path]:
        """Every record's image file, in order."""
        return [self._sources[place].graded.image for place in self._places]

    def _all_patients(self) -> Sequence[str]:
        return [source.graded.patient for source in self._sources]

    def _record(self, place: int) -> Record:
        return self._sources[place].record(place)

    def _header(self, place: int) -> Header:
        return self._sources[place].header()

    @property
    def intensity(self) -> Intensity:
        """The rule by which these images are read. Raises ValueError if none is given and they have different ones."""
        if self._given is not None:
            return self._given
        rules: dict[Intensity, Path] = {}
        for place in self._places:
            source = self._sources[place]
            rules.setdefault(source.default_intensity(), source.graded.image)
        if len(rules) > 1:
            first, second = list(rules.values())[:2]
            raise ValueError(
                f"intensity: {first.name} and {second.name} store grey values in different types or formats, expected "
                "one, or a common intensity rule; give a rule, such as range:0:255"
            )
        return next(iter(rules))


def read(
    root: str | os.PathLike[str],
    *,
    binary: bool | None = None,
    intensity: Intensity | None = None,
    whole: bool = False,
    unmarked: bool = False,
    orientation: str | None = None,
) -> FolderRecords:
    """List images/<name>.<ext> and masks/<rater>/<name>.<ext>; pixels are read on access.

    Images are PNG, JPEG or TIFF with PNG or TIFF masks, or NIfTI (.nii, .nii.gz) with NIfTI masks. A record has no mask
    of a rater who did not annotate it, and masks (0, H, W) if nobody did. Masks of a single rater may lie in masks/
    itself. Masks are in the order of the raters' names. The patient is the name up to the first "__", or the whole
    name: p07__left.png belongs to patient p07. Ids count the records sorted by name.

    Images are float32 (C, H, W) in [0, 1], scaled by the rule `intensity` if it is given. Otherwise pictures of at most
    8 bits are divided by 255, and pictures of more bits and NIfTI volumes are scaled so that their percentiles 0.5 and
    99.5 become 0 and 1. Pictures and masks are rotated as their EXIF orientation says. NIfTI masks are brought to the
    axes of their image. Each slice along the last axis of a NIfTI volume is a record if at least one rater marked
    something in it; with `unmarked` every slice is. With `whole` a volume is one record, (1, Z, H, W). With
    `orientation`, such as "RAS", volumes that have an affine are turned to that orientation in the body. Slices are
    read faster from .nii than from .nii.gz.

    Masks are uint8 (M, H, W). binary=True: the files hold background and foreground as 0 and 1, or as 0 and 255 (the
    largest value that the file can hold). binary=False: the files hold class indices (a palette image its indices),
    with 255 for pixels that are not annotated (IGNORE). None: like False, but if 255 is the only value besides 0, it is
    the foreground, and a warning says so.

    Raises FileNotFoundError for a folder without images, and ValueError for a mask without an image, for two images of
    one name, for NIfTI files that cannot be read, and for masks on another grid. Access to a record raises ValueError
    for a file that is truncated or of another kind, and for a mask of another size or with other values.
    """
    if orientation is not None:
        check_orientation(orientation)
    sources: list[Picture | VolumePart] = []
    for graded in list_images(Path(root)):
        if is_nifti(graded.image):
            sources.extend(
                volume_parts(graded, binary, intensity, whole=whole, unmarked=unmarked, orientation=orientation)
            )
        else:
            sources.extend(pictures(graded, binary, intensity))
    if not sources:
        raise ValueError(
            f"root: {root} has no slice in which a rater marked something; check the masks, or ask for all slices "
            "(unmarked=True)"
        )
    return FolderRecords(sources, intensity)
