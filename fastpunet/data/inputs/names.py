"""Names for images that are safe as names of files and folders, whatever the image's own files are called."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from fastpunet.data.inputs.recognising import SUFFIXES

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(1, 10))}  # Windows
_METADATA = "zarr.json"  # which lies beside the images of an archive
_BYTES = 120  # leaves room for endings; most file systems allow 255


def stem(path: Path) -> str:
    """The name of a file without the suffix of a format that we read; other dots stay.

    >>> stem(Path("p07.scan.nii.gz")), stem(Path("1.2.840.5"))
    ('p07.scan', '1.2.840.5')
    """
    return path.name[: len(path.name) - len(ending(path))]


def ending(path: Path) -> str:
    """The suffix of a format that we read, in lower case; empty if a file has none.

    >>> ending(Path("p07.scan.NII.gz")), ending(Path("1.2.840.5"))
    ('.nii.gz', '')
    """
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def safe(text: str) -> str:
    """Letters and digits of any script, "-", "_" and "." stay; "_" replaces the rest. Never empty, hidden or an option.

    >>> safe("../a b"), safe("..."), safe("-rf"), safe("nul.txt"), safe("zarr.json")
    ('a_b', 'image', 'rf', 'image_nul.txt', 'image_zarr.json')
    """
    kept = "".join(c if c.isalnum() or c in "-_." else "_" for c in unicodedata.normalize("NFC", text))
    kept = kept.encode()[:_BYTES].decode(errors="ignore").lstrip(".-_").rstrip(".")
    reserved = kept.split(".")[0].lower() in _RESERVED or kept.lower() == _METADATA
    return f"image_{kept}" if reserved else kept or "image"


def distinct(choices: Sequence[Sequence[str]], endings: Sequence[str] = ()) -> list[str]:
    """One safe name for each image: of its choices the first that only images of the same choices share, case aside.

    endings: those of the images' files. Images of the same choices get theirs, if these differ. What still has the
    same name is numbered.

    >>> distinct([["x", "a_x"], ["X", "b_x"], ["y"], ["y"]])
    ['a_x', 'b_x', 'y', 'y-2']
    >>> distinct([["x", "a_x"], ["x", "a_x"], ["x", "b_x"]], [".png", ".npy", ".png"])
    ['a_x_png', 'a_x_npy', 'b_x']
    """
    safe_choices = [tuple(map(safe, options)) for options in choices]
    alike = [tuple(map(str.lower, options)) for options in safe_choices]
    names = [options[0] for options in safe_choices]
    for level in range(1, max(map(len, choices), default=0)):
        sharing = _gathered(map(str.lower, names), alike)
        names = [
            options[min(level, len(options) - 1)] if len(sharing[name.lower()]) > 1 else name
            for name, options in zip(names, safe_choices, strict=True)
        ]
    if endings:
        several = _gathered(alike, endings)
        names = [
            with_ending(name, ending) if len(several[options]) > 1 else name
            for name, options, ending in zip(names, alike, endings, strict=True)
        ]
    return _numbered(names)


def with_ending(name: str, ending: str) -> str:
    """The name of a file with its ending.

    >>> with_ending("x", ".nii.gz")
    'x_nii_gz'
    """
    return name + ending.replace(".", "_")


def _gathered(keys: Iterable[_Key], values: Iterable[_Value]) -> dict[_Key, set[_Value]]:
    """The values of each key."""
    gathered: dict[_Key, set[_Value]] = defaultdict(set)
    for key, value in zip(keys, values, strict=True):
        gathered[key].add(value)
    return gathered


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, with "-2", "-3" and so on behind those that were there before, case aside."""
    free = set(map(str.lower, names))  # each for the first image of that name
    used: set[str] = set()
    numbers: Counter[str] = Counter()
    unique = []
    for name in names:
        candidate = name
        while candidate.lower() in used or (candidate != name and candidate.lower() in free):
            numbers[name.lower()] += 1
            candidate = f"{name}-{numbers[name.lower()] + 1}"
        used.add(candidate.lower())
        unique.append(candidate)
    return unique
