"""Small bundles for training on a CPU: the middle of some slices of a large one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fastpunet.data.npz import read_members, read_optional, write_members

TINY = 64  # pixels a side
SLICES = {"train": 800, "val": 200, "test": 200}
_PER_SLICE = ("series_uid", "nodule", "slice", "z_mm", "native_spacing_mm", "spacing_mm", "n_graders", "malignancy")


def tiny_name(part: str) -> str:
    return f"lidc_tiny_{part}_{TINY}.npz"


def write_all_tiny(
    folder: str | os.PathLike[str], output: str | os.PathLike[str] | None = None, *, size: int = 128
) -> list[Path]:
    """The small bundle of every lidc_<part>_<size>.npz in a folder, as `write_tiny` makes it; returns their paths.

    They go into the folder `output`, or beside the large ones. Raises FileNotFoundError if there is no such bundle, and
    ValueError if one of the small ones is there already.
    """
    bundles = {part: Path(folder) / f"lidc_{part}_{size}.npz" for part in SLICES}
    present = [part for part, bundle in bundles.items() if bundle.is_file()]
    if not present:
        names = ", ".join(bundle.name for bundle in bundles.values())
        raise FileNotFoundError(f"bundles: none of {names} in {str(folder)!r}, expected at least one")
    target = Path(folder if output is None else output)
    there = [tiny_name(part) for part in present if (target / tiny_name(part)).exists()]
    if there:
        raise ValueError(f"output: {target} holds {', '.join(there)} already; delete it, or choose another --output")
    target.mkdir(parents=True, exist_ok=True)
    return [write_tiny(bundles[part], part, target) for part in present]


def write_tiny(bundle: str | os.PathLike[str], part: str, output: str | os.PathLike[str] | None = None) -> Path:
    """Write lidc_tiny_<part>_64.npz beside a bundle, or into the folder `output`; returns its path.

    It holds the central 64 x 64 pixels of 800 (train) or 200 (val, test) slices of the bundle, evenly spaced, or of all
    if there are fewer, with the members that `prepare` gives a bundle, and `index_in_<size>` int32 (N,), their places
    in it. Raises FileNotFoundError, and ValueError for a file that is no such bundle or smaller than 64 x 64.
    """
    images, packed, patients = read_members(bundle, ("images", "masks_packed", "patient"))
    if part not in SLICES:
        raise ValueError(f"part: got {part!r}, expected one of {', '.join(SLICES)}")
    if images.ndim != 3 or packed.ndim != 4 or min(images.shape[1:]) < TINY or len(packed) != len(images):
        raise ValueError(
            f"bundle: {bundle} holds images {images.shape} and masks_packed {packed.shape}, expected (N, H, W) and "
            f"(N, M, H, ceil(W / 8)) of at least {TINY} x {TINY} pixels"
        )
    places = np.linspace(0, len(images) - 1, min(SLICES[part], len(images))).round().astype(np.int32)
    top, left = ((side - TINY) // 2 for side in images.shape[1:])
    window = np.s_[..., top : top + TINY, left : left + TINY]
    masks = np.unpackbits(packed[places], axis=-1, count=images.shape[2])[window]
    path = (Path(bundle).parent if output is None else Path(output)) / tiny_name(part)
    write_members(
        path,
        {
            "images": images[places][window],
            "masks_packed": np.packbits(masks, axis=-1),
            f"index_in_{images.shape[1]}": places,
            "patient": patients[places],
            **{name: member[places] for name, member in read_optional(bundle, _PER_SLICE).items()},
        },
    )
    return path
