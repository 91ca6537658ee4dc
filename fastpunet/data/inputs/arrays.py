"""NumPy files: bundles (.npz) of many images, or of one, and a single image as .npy."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.inputs.found import Found, names_of
from fastpunet.data.inputs.input import Input
from fastpunet.data.npz import as_text, map_member, read_optional, read_shapes
from fastpunet.data.reading import reading
from fastpunet.intensity import EIGHT_BIT, PERCENTILES, Intensity

_MOST_CHANNELS = 4


def read(path: Path) -> Iterator[Found]:
    """The images of a file.

    A bundle has `images` (N, H, W) or (N, H, W, C), or `image` (H, W) or (H, W, C), of real numbers, and may have
    `names` (N,) and `spacing_mm`, (N,) or (), between pixels in both directions: the bundles of LIDC and CamVid are of
    this kind. A .npy file holds one image (H, W) or (H, W, C). Raises the errors of `npz.read_members`, and ValueError
    for other shapes and dtypes.
    """
    with path.open("rb") as file:
        alone = file.read(6) == b"\x93NUMPY"
    yield from _single(path) if alone else _bundle(path)


def _bundle(path: Path) -> Iterator[Found]:
    shapes = read_shapes(path, ("images", "image"))
    if len(shapes) != 1:
        raise ValueError(
            f"file: {path} has {'both images and image' if shapes else 'neither images nor image'}, expected the "
            "member images (N, H, W) or (N, H, W, C), or image (H, W) or (H, W, C)"
        )
    ((member, (shape, dtype)),) = shapes.items()
    many = member == "images"
    channels, size = _layout(path, member, shape[1:] if many else shape, dtype)
    more = read_optional(path, ("names", "spacing_mm"))
    count = shape[0] if many else 1
    names = _names(more.get("names"), count, path, many)
    spacing = _spacing(more.get("spacing_mm"), shape[:1] if many else (), path)
    rule = _rule(dtype)
    for index in range(count):
        image = Input(
            "", (path,), "npz", channels, size, spacing[index], None, rule, partial(_image, path, member, index)
        )
        yield Found(names[index], image)


def _single(path: Path) -> Iterator[Found]:
    array = _mapped(path)
    channels, size = _layout(path, "an array", array.shape, array.dtype)
    yield Found(
        names_of(path), Input("", (path,), "npz", channels, size, None, None, _rule(array.dtype), partial(_load, path))
    )


def _layout(path: Path, what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, tuple[int, int]]:
    """Channels and size of one image."""
    fits = len(shape) == 2 or (len(shape) == 3 and shape[2] <= _MOST_CHANNELS)
    if not fits or not math.prod(shape) or dtype.kind not in "iuf":
        raise ValueError(
            f"file: {path} holds {what} of {dtype} {shape} per image, expected real numbers (H, W), or (H, W, C) with "
            f"at most {_MOST_CHANNELS} channels; volumes are read from NIfTI and DICOM"
        )
    return (shape[2] if len(shape) == 3 else 1), (shape[0], shape[1])


def _rule(dtype: np.dtype[Any]) -> Intensity:
    return EIGHT_BIT if dtype == np.uint8 else PERCENTILES


def _names(found: NDArray[Any] | None, count: int, path: Path, many: bool) -> list[tuple[str, ...]]:
    """Names for each image: its own where the bundle has any, else the bundle's with a number."""
    if not many:
        return [names_of(path)]
    if found is not None and found.shape == (count,):
        return [(name, *names_of(path, f"_{name}")) for name in as_text(found)]
    digits = len(str(count - 1))
    return [names_of(path, f"_{index:0{digits}}") for index in range(count)]


def _spacing(found: NDArray[Any] | None, shape: tuple[int, ...], path: Path) -> list[tuple[float, float] | None]:
    """The spacing of each image."""
    if found is None:
        return [None] * math.prod(shape)
    if found.shape != shape or found.dtype.kind not in "iuf" or not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(
            f"file: {path} holds spacing_mm {found.dtype}{found.shape}, expected numbers above 0, {shape}; make it "
            "again"
        )
    return [(step, step) for step in found.reshape(-1).astype(float).tolist()]


def _image(path: Path, member: str, index: int) -> NDArray[Any]:
    """An image (C, H, W) of a bundle, which is opened once for images that are read one after the other."""
    state = path.stat()
    with _opening:
        images = _member(path, member, (state.st_ino, state.st_size, state.st_mtime_ns))
    return np.array(_channels_first(images[index] if member == "images" else images))


@lru_cache(maxsize=2)
def _member(path: Path, member: str, state: tuple[int, ...]) -> NDArray[Any]:  # noqa: ARG001  # a file that changes is another
    return map_member(path, member)


_opening = threading.Lock()


def _load(path: Path) -> NDArray[Any]:
    return _channels_first(np.array(_mapped(path)))


def _mapped(path: Path) -> NDArray[Any]:
    """The array in a .npy file; its values are still on the disk."""
    with reading(path, "a NumPy array"):
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _channels_first(image: NDArray[Any]) -> NDArray[Any]:
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
