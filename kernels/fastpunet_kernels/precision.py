"""What float32 arithmetic may round to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_TURN = threading.RLock()
PRECISIONS = ("auto", "ieee", "tf32", "bf16")


def automatic_precision(device: torch.device) -> str:
    """What PyTorch itself would compute float32 convolutions in now: bf16 under bf16 autocast, else tf32 or ieee."""
    if torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) == torch.bfloat16:
        return "bf16"
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    return "tf32" if device.type == "cuda" and convolutions.fp32_precision == "tf32" else "ieee"


@contextmanager
def fixed_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Float32 convolutions and matrix products run as "ieee" or "tf32" inside, whatever autocast the caller is in.

    "bf16" is spelled out by casts where it is meant, so float32 is "ieee" under it. PyTorch's switches belong to the
    whole process: threads take turns.
    """
    with _TURN:
        backends = _float32_backends()
        before = [backend.fp32_precision for backend in backends]
        try:
            for backend in backends:
                backend.fp32_precision = "tf32" if precision == "tf32" else "ieee"
            with torch.autocast(device.type, enabled=False):
                yield
        finally:
            for backend, value in zip(backends, before, strict=True):
                backend.fp32_precision = value


def _float32_backends() -> list[Any]:
    """Those with a switch of their own: cuDNN and cuBLAS, and oneDNN on the CPU."""
    backends: Any = torch.backends
    return [backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.conv, backends.mkldnn.matmul]
