"""Runs networks that may take only multiples of a power of two on images of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_LARGEST_MULTIPLE = 512
REFUSALS = (
    RuntimeError,
    ValueError,
    AssertionError,
    IndexError,
)  # the errors that networks raise for a size that they do not take


_traced_multiple: ContextVar[int | None] = ContextVar("traced_multiple", default=None)


@contextmanager
def traced(multiple: int) -> Iterator[None]:
    """A context in which networks can be traced for all sizes: images are padded to this multiple without a trial."""
    token = _traced_multiple.set(multiple)
    try:
        yield
    finally:
        _traced_multiple.reset(token)


def is_traced() -> bool:
    """Whether this runs inside of `traced`."""
    return _traced_multiple.get() is not None


def with_size_that_fits(
    run: Callable[[Tensor], Any], features_of: Callable[[Any, Tensor], Tensor], images: Tensor
) -> tuple[Any, Tensor, Tensor]:
    """Return the result of `run` for images (B, C, *size), with features (B, F, *size), and the images it was run on.

    The images are first tried as they are. If that fails, or gives features of another size, they are padded at the
    far ends by repeating the edge, to multiples of 2, 4, 8 and so on, and the features are cropped. Raises ValueError,
    with the first error of the networks, if no size works.
    """
    reason: Exception | None = None
    for padded in _sizes(images):
        try:
            returned = run(padded)
        except torch.OutOfMemoryError:
            raise
        except REFUSALS as error:
            if "to satisfy the constraint" in str(error):  # torch.distributions, about its parameters
                raise ValueError(f"model: got NaN or impossible values in its prior: {_first_line(error)}") from None
            reason = reason or error
            continue
        features = features_of(returned, padded)
        if features.shape[2:] == padded.shape[2:]:
            return returned, without_padding(features, images), padded
        reason = reason or ValueError(f"its features have the size {_times(features.shape[2:])}")
    raise ValueError(
        f"model: its networks do not take images of {images.shape[1]} channels and size {_times(images.shape[2:])}, "
        f"nor padded to multiples of 2 to {_LARGEST_MULTIPLE}: {_first_line(reason)}"
    ) from reason


def without_padding(values: Tensor, images: Tensor) -> Tensor:
    """The part of values (B, C, *padded size) that belongs to images (B, C, *size)."""
    inside = (slice(None), slice(None), *map(slice, images.shape[2:]))
    return values[inside]


def _sizes(images: Tensor) -> Iterator[Tensor]:
    """The images as they are, then padded more and more; all contiguous, because foreign code may use `view`."""
    chosen = _traced_multiple.get()
    if chosen is not None:
        yield _padded(images, _rounded(images, chosen)) if chosen > 1 else images
        return
    yield images
    images = images.clone(memory_format=torch.contiguous_format)
    yield images
    tried = {tuple(images.shape[2:])}
    multiple = 2
    while multiple <= _LARGEST_MULTIPLE:
        rounded = _rounded(images, multiple)
        if rounded not in tried:
            tried.add(rounded)
            yield _padded(images, rounded)
        multiple *= 2


def _rounded(images: Tensor, multiple: int) -> tuple[int, ...]:
    """The images' size, rounded up without negative numbers, which ONNX divides in another way."""
    return tuple(multiple * ((length + multiple - 1) // multiple) for length in images.shape[2:])


def _padded(images: Tensor, size: tuple[int, ...]) -> Tensor:
    widths = [amount for length, new in zip(images.shape[2:], size, strict=True) for amount in (new - length, 0)]
    return F.pad(images, widths[::-1], mode="replicate")


def _times(size: torch.Size) -> str:
    return " x ".join(map(str, size))


def _first_line(error: Exception | None) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
