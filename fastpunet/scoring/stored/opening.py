"""Opens stored hypotheses by what is at their path."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from fastpunet.archive.root import is_archive
from fastpunet.data.reading import check_chunks, reading
from fastpunet.optional import require
from fastpunet.scoring.sources import Source
from fastpunet.scoring.stored import files
from fastpunet.scoring.stored.archive import StoredArchive
from fastpunet.scoring.stored.folder import StoredFolder
from fastpunet.scoring.stored.stack import StoredStack


def open_stored(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    num_classes: int = 1,
    device: torch.device | None = None,
) -> Source:
    """The hypotheses at a path as a source for `evaluate_source`.

    path         an archive of `fastpunet sample` (see `StoredArchive`); a folder with a file or folder for each image
                 (see `StoredFolder`); or a .npz, .npy or .zarr array
                 (N, n, *size) of class indices in the order of the data set, in an npz file under the name labels,
                 hypotheses, samples or masks
    data         the data set that they belong to
    num_classes  1 or 2 for binary masks

    Raises FileNotFoundError, and ValueError for anything else.
    """
    place, where = Path(path), torch.device("cpu") if device is None else device
    if not place.exists():
        raise FileNotFoundError(f"hypotheses: no file or folder {str(place)!r}")
    if is_archive(place):
        return StoredArchive(place, Path(data), num_classes, where)
    if place.suffix.lower() == ".zarr" or (place / "zarr.json").is_file() or (place / ".zarray").is_file():
        zarr = require("zarr", "reading Zarr stores", "cluster")
        try:
            array = zarr.open_array(place, mode="r")
        except Exception as error:  # a damaged store may fail in any way
            raise ValueError(
                f"hypotheses: {place} is not a Zarr array ({' '.join(str(error).split())[:200]})"
            ) from None
        check_chunks(array, place, "hypotheses")
        return StoredStack(array, place, num_classes, where)
    if place.is_dir():
        return StoredFolder(place, Path(data), num_classes, where)
    if place.suffix.lower() == ".npy":
        with reading(place, "a npy file", "hypotheses"):
            mapped = np.load(place, mmap_mode="r", allow_pickle=False)
        return StoredStack(mapped, place, num_classes, where)
    if place.suffix.lower() == ".npz":
        return StoredStack(files.READERS[".npz"](place).values, place, num_classes, where)
    raise ValueError(f"hypotheses: got {str(place)!r}, expected a folder, or a .npz, .npy or .zarr array")
