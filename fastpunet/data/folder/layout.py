"""Finds the images of a folder and the masks that belong to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastpunet.data import nifti
from fastpunet.data.leftovers import is_leftover

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_MASKS = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Graded:
    """The files of an image and of its masks, if there are any."""

    image: Path
    masks: tuple[Path, ...]
    raters: tuple[str, ...]  # the rater of each mask, in order
    patient: str


def list_images(root: Path) -> list[Graded]:
    """List the images of a folder, sorted by name, each with the masks of the raters who annotated it.

    Raises FileNotFoundError if there is no image; ValueError for a mask without its image, two images or masks of one
    name, and files of another kind.
    """
    images, raters = _by_name(root / "images", (*PICTURES, *nifti.SUFFIXES)), _raters(root / "masks")
    if not images:
        raise FileNotFoundError(
            f"root: no files {str(root / 'images' / '*')!r}; expected {', '.join((*PICTURES, *nifti.SUFFIXES))}"
        )
    lonely = [file for files in raters.values() for name, file in files.items() if name not in images]
    if lonely:
        more = len(lonely) - 1
        others = "" if more == 0 else " (so is 1 other)" if more == 1 else f" (so are {more} others)"
        raise ValueError(
            f"root: {lonely[0]} is a mask without its image{others}, expected the name of an image, such as "
            f"{min(images)}; rename it, add the image, or remove the mask"
        )
    for files in raters.values():
        for name, file in files.items():
            if is_nifti(images[name]) != is_nifti(file):
                raise ValueError(
                    f"root: {file} is the mask of {images[name].name}, expected both as pictures or both as NIfTI; "
                    "convert one"
                )
    found = []
    for name, image in sorted(images.items()):
        graders = tuple(rater for rater, files in raters.items() if name in files)
        masks = tuple(raters[rater][name] for rater in graders)
        found.append(Graded(image, masks, graders, name.split("__")[0] or name))
    return found


def is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(nifti.SUFFIXES)


def _raters(folder: Path) -> dict[str, dict[str, Path]]:
    """The mask files of each rater, by name. Masks in `folder` itself belong to a single rater without a name."""
    entries = [entry for entry in sorted(folder.glob("*")) if not is_leftover(entry)]
    raters = {entry.name: _by_name(entry, (*_MASKS, *nifti.SUFFIXES)) for entry in entries if entry.is_dir()}
    if all(entry.is_dir() for entry in entries):
        return raters
    if raters:
        loose = next(entry for entry in entries if not entry.is_dir())
        raise ValueError(
            f"root: {loose} lies beside the folders of the raters, expected it in one of them; move or remove it"
        )
    return {"": _by_name(folder, (*_MASKS, *nifti.SUFFIXES))}


def _by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files of a folder by name without suffix."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*")):
        if is_leftover(file):
            continue
        suffix = next((suffix for suffix in suffixes if file.name.lower().endswith(suffix)), None)
        if suffix is None or not file.is_file():
            lossy = "; JPEG changes class indices" if file.suffix.lower() in (".jpg", ".jpeg") else ""
            raise ValueError(
                f"root: {file} has another format, expected {', '.join(suffixes)}{lossy}; convert or remove it"
            )
        name = file.name[: -len(suffix)]
        if name in found:
            raise ValueError(f"root: {found[name]} and {file} have the same name, expected different ones; rename one")
        found[name] = file
    return found
