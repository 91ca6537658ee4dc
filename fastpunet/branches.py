"""Computations that need nothing of each other, as branches of a CUDA graph, which the GPU runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

First = TypeVar("First")
Second = TypeVar("Second")


def both(first: Callable[[], First], second: Callable[[], Second], device: torch.device) -> tuple[First, Second]:
    """Return first() and second(). While a CUDA graph is captured on `device`, they become two branches of it.

    A network of one small image leaves most of a GPU idle, so that two of them take little longer than one. Outside of
    a capture they run one after the other, and the allocator need not know of a second stream.
    """
    if device.type != "cuda" or torch.compiler.is_compiling() or not torch.cuda.is_current_stream_capturing():
        return first(), second()
    current, side = torch.cuda.current_stream(device), _side_stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        of_second = second()
    of_first = first()
    current.wait_stream(side)
    return of_first, of_second


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for each device, so that captures that share memory use the same memory here too."""
    return torch.cuda.Stream(device)
