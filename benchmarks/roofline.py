"""What this machine can do at most: multiply-adds in registers, and memory copied."""

from __future__ import annotations

import time
from functools import cache
from statistics import median

import torch

from fastpunet_kernels.native import launch

_COPIED_BYTES = 1 << 28


@cache
def roofline() -> dict[str, float]:
    """gflops: float32 multiply-adds of all threads (a multiply-add is two); gflops_bf16: PyTorch's own product of large
    bfloat16 matrices; gigabytes: read and written in a second by a copy too large for the caches.
    """
    measured = {"gigabytes": _copy_rate(), "gflops_bf16": _product_rate(torch.bfloat16)}
    rate = multiply_add_rate(0.5)
    if rate is not None:
        measured["gflops"] = rate / 1e9
    return measured


def multiply_add_rate(seconds: float = 0.05) -> float | None:
    """Float32 operations a second of all threads doing nothing but multiply-adds; None without the native kernels."""
    if launch.kernels is None:
        return None
    return float(launch.kernels.multiply_add_rate(launch.capability(), torch.get_num_threads(), seconds))


def _copy_rate() -> float:
    source = torch.ones(_COPIED_BYTES // 4)
    target = torch.empty_like(source)
    return 2 * _COPIED_BYTES / _seconds(lambda: target.copy_(source)) / 1e9


def _product_rate(dtype: torch.dtype) -> float:
    a = torch.ones(2048, 2048, dtype=dtype)
    return 2 * 2048**3 / _seconds(lambda: a @ a) / 1e9


def _seconds(run: object) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        run()  # type: ignore[operator]
        times.append(time.perf_counter() - start)
    return median(times[1:])
