"""Any data set by its kind and path, for whoever takes both from a config or a command line."""

from __future__ import annotations

import os
from pathlib import Path

from fastpunet.data import camvid, cityscapes, folder, lidc
from fastpunet.data.record import Records

KINDS = ("lidc", "camvid", "cityscapes", "folder")


def read(
    kind: str, path: str | os.PathLike[str], *, binary: bool = True, resize: tuple[int, int] | None = None
) -> Records:
    """The records of a bundle, pickle or folder.

    lidc        a bundle (.npz), the PyTorch port's pickle, or one part of a lidc_crops tree
    camvid      a bundle (.npz)
    cityscapes  ROOT/train or ROOT/val, ROOT with leftImg8bit and gtFine; resize to (H, W)
    folder      images/ and masks/<rater>/; binary: whatever is not 0 is foreground

    Raises ValueError or FileNotFoundError, from the readers, for files that are missing or broken.
    """
    path = Path(path)
    if kind == "lidc":
        if path.is_dir():
            return lidc.read_crops(path)
        return lidc.read_pickle(path) if path.suffix in (".pickle", ".pkl") else lidc.read_npz(path)
    if kind == "camvid":
        return camvid.read_npz(path)
    if kind == "cityscapes":
        return cityscapes.read(path.parent, path.name, size=resize)
    if kind == "folder":
        return folder.read(path, binary=binary)
    raise ValueError(f"kind: got {kind!r}, expected one of {', '.join(KINDS)}")
