"""What float32 arithmetic may round to, for the duration of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = ("auto", "ieee", "tf32", "bf16")


@contextmanager
def float32_precision(precision: str) -> Iterator[None]:
    """Let CUDA convolutions and matrix products of float32 run as "ieee" or "tf32" inside; "bf16" leaves them alone."""
    if precision == "bf16":
        yield
        return
    backends = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = precision
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value
