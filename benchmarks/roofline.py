"""What this machine can do at most: multiply-adds, matrix products, and memory copied.

The data are random, for a GPU multiplies ones faster than numbers whose bits differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from statistics import median

import torch

from fastpunet_kernels import fixed_precision
from fastpunet_kernels.native import launch

_COPIED_BYTES = 1 << 28
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@cache
def roofline() -> dict[str, float]:
    """What the benchmarks' device does in a second, measured.

    gflops: float32 multiply-adds (a multiply-add is two), on a CPU by all threads in registers, on a GPU in PyTorch's
    product of large matrices; gflops_bf16, and gflops_tf32 on a GPU: those products; gigabytes: read and written by a
    copy too large for the caches.
    """
    measured = {"gigabytes": _copy_rate(), "gflops_bf16": _product_rate("bf16")}
    if DEVICE.type == "cuda":
        return measured | {"gflops_tf32": _product_rate("tf32"), "gflops": _product_rate("ieee")}
    rate = multiply_add_rate(0.5)
    if rate is not None:
        measured["gflops"] = rate / 1e9
    return measured


def peak(precision: str) -> float | None:
    """GFLOP/s that work of that precision is compared with; of float32 a CPU is asked again, for it throttles."""
    if precision != "ieee" or DEVICE.type == "cuda":
        return roofline()["gflops" if precision == "ieee" else f"gflops_{precision}"]
    rate = multiply_add_rate()
    return rate / 1e9 if rate else None


def multiply_add_rate(seconds: float = 0.05) -> float | None:
    """Float32 operations a second of all threads doing nothing but multiply-adds; None without the native kernels."""
    if launch.kernels is None:
        return None
    return float(launch.kernels.multiply_add_rate(launch.capability(), torch.get_num_threads(), seconds))


def _copy_rate() -> float:
    source = torch.randn(_COPIED_BYTES // 4, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * _COPIED_BYTES / _seconds(lambda: target.copy_(source)) / 1e9


def _product_rate(precision: str) -> float:
    side = 8192 if DEVICE.type == "cuda" else 2048
    a = torch.randn(side, side, device=DEVICE).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    with fixed_precision(precision, DEVICE):
        return 2 * side**3 / _seconds(lambda: a @ a) / 1e9


def _seconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(7):
        synchronize()
        start = time.perf_counter()
        run()
        synchronize()
        times.append(time.perf_counter() - start)
    return median(times[1:])


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
