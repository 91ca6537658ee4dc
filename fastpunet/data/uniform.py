"""Checks, before the work starts, that all records of a data set fit into batches and fit a model."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fastpunet.data.lazy import header_of
from fastpunet.data.record import IGNORE, Records

_LOOKED_AT = 64
_NAMED = 3


def check_shapes(records: Records, *, crop: tuple[int, ...] | None = None, channels: int | None = None) -> None:
    """Raise ValueError, with the names of some, if records have other channels or sizes than the rest.

    Only headers are read, also those of masks in files of their own. crop: with it, all images that are at least of
    this size fit, because a part of that size is taken from each. channels: those of the model, if there is one yet.
    """
    shapes = [header_of(records, place) for place in range(len(records))]
    if not shapes:
        raise ValueError("data: got no records, expected at least one")
    usual, _ = Counter(header.shape[0] for header in shapes).most_common(1)[0]
    wanted = usual if channels is None else channels
    _refuse(
        [(header.name, f"{header.shape[0]} channels") for header in shapes if header.shape[0] != wanted],
        len(shapes),
        f"{wanted} as {'the others have' if channels is None else 'the model takes'}; convert or remove them",
    )
    sizes = Counter(header.shape[1:] for header in shapes)
    if crop is not None:
        small = [(h.name, _size(h.shape[1:])) for h in shapes if not _holds(h.shape[1:], crop)]
        _refuse(small, len(shapes), f"at least {_size(crop)}, the crop; make it smaller, or remove them")
    elif len(sizes) > 1:
        common, _ = sizes.most_common(1)[0]
        odd = [(header.name, _size(header.shape[1:])) for header in shapes if header.shape[1:] != common]
        smallest = [min(sides) for sides in zip(*sizes, strict=False)]
        _refuse(
            odd,
            len(shapes),
            f"{_size(common)} as the others; remove or resize them, or set crop: {smallest} or smaller",
        )


def check_labels(records: Records, num_classes: int) -> None:
    """Raise ValueError, with a record's name, if masks cannot be meant for this number of classes.

    Looks at 64 records at most, evenly spaced: none of their labels may be at or above the number of classes (2 if it
    is 1).
    """
    classes = max(2, num_classes)
    seen: set[int] = set()
    for place in np.unique(np.linspace(0, len(records) - 1, min(len(records), _LOOKED_AT)).astype(int)):
        labels = np.unique(records[int(place)].masks).tolist()
        wrong = [label for label in labels if label >= classes and label != IGNORE]
        if wrong:
            raise ValueError(
                f"data: {header_of(records, int(place)).name} has labels {wrong[:8]}, expected 0 .. {classes - 1} for "
                f"num_classes = {num_classes}, or {IGNORE} for pixels that are not annotated"
            )
        seen.update(labels)
    if IGNORE in seen and seen <= {0, IGNORE}:
        raise ValueError(
            f"data: masks hold 0 and {IGNORE} alone, which mean background and not annotated for num_classes = "
            f"{num_classes}, expected class indices; set num_classes to 1 or 2 if {IGNORE} is the foreground"
        )


def check_marked(records: Records) -> None:
    """Raise ValueError if all masks of all records are empty. Records are read until one is found that is not."""
    if not any(np.isin(records[place].masks, (0, IGNORE), invert=True).any() for place in range(len(records))):
        raise ValueError(
            f"data: all masks of all {len(records)} images are empty, so there is nothing to learn; check the masks"
        )


def _refuse(found: list[tuple[str, str]], count: int, expected: str) -> None:
    if found:
        named = ", ".join(f"{name} ({what})" for name, what in found[:_NAMED])
        rest = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise ValueError(f"data: {len(found)} of {count} images do not fit: {named}{rest}; expected {expected}")


def _holds(size: tuple[int, ...], crop: tuple[int, ...]) -> bool:
    return len(size) == len(crop) and all(have >= want for have, want in zip(size, crop, strict=True))


def _size(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
