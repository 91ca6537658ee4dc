"""With how many threads images are computed, on which their rounding depends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fastpunet.arguments import check_count

_MOST = 4096  # beyond which systems end the process


def check_threads(count: object) -> int:
    """A number of threads. Raises ValueError or TypeError."""
    return check_count("threads", count, limit=_MOST)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """A context in which PyTorch and the kernels compute with so many threads, in all threads of the process."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
