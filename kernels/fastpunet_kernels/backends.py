"""Chooses the backend that runs an op, and explains why another one cannot run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch

from fastpunet_kernels.environment import triton_is_interpreted
from fastpunet_kernels.native import launch

# The modules of each backend. Its ops are functions with the same names and arguments as in those of the reference.
_MODULES = {
    "triton": ("fastpunet_kernels.triton.launch", "fastpunet_kernels.triton.low_rank"),
    "native": ("fastpunet_kernels.native.launch", "fastpunet_kernels.native.low_rank"),
    "reference": ("fastpunet_kernels.reference", "fastpunet_kernels.low_rank"),
}
BACKENDS = ("auto", *_MODULES)


def implementation(backend: str, op: str) -> Callable[..., Any]:
    """The function of that name of a backend that `select_backend` chose."""
    modules = map(importlib.import_module, _MODULES[backend])
    return next(getattr(module, op) for module in modules if hasattr(module, op))


def why_unavailable(backend: str, device: torch.device) -> str | None:
    """Why `backend` cannot run on tensors of `device`, or None if it can."""
    if backend == "triton":
        return _why_no_triton(device)
    if backend == "native":
        return _why_no_native(device)
    return None


def select_backend(backend: str, device: torch.device) -> str:
    """The backend that will run: "auto" takes Triton on a GPU, native code on a CPU, the reference elsewhere.

    Raises ValueError for an unknown name and RuntimeError, with the reason, for a backend that cannot run here.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: got {backend!r}, expected one of {', '.join(BACKENDS)}")
    if backend == "auto":
        fast = "triton" if device.type == "cuda" else "native"
        return fast if why_unavailable(fast, device) is None else "reference"
    reason = why_unavailable(backend, device)
    if reason is not None:
        raise RuntimeError(f'backend: {backend!r} cannot run: {reason}; or pass backend="auto"')
    return backend


def _why_no_triton(device: torch.device) -> str | None:
    try:
        importlib.import_module("triton")
    except ImportError as error:
        return f"triton cannot be imported ({error}); install it with: pip install triton"
    if device.type == "cuda" or triton_is_interpreted():
        return None
    return f"the Triton kernels need a CUDA or ROCm device, not {device.type!r}; move model and images to a GPU"


def _why_no_native(device: torch.device) -> str | None:
    if device.type != "cpu":
        return f"the native kernels need tensors on the CPU, not {device.type!r}; move model and images there"
    if launch.WHY_MISSING is not None:
        return f"{launch.WHY_MISSING}. Until then PyTorch does it, 3 times slower at decoding, 20 at IoU"
    return None
