"""How measurements are written for people: times, ratios, and the machine in a line."""

from __future__ import annotations

from typing import Any


def time(seconds: float) -> str:
    """Three significant digits in the unit that fits, such as "4.50 ms"."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.2g} ns"


def ratio(times: float) -> str:
    return f"{times:.1f}" if times < 100 else f"{times:,.0f}"


def machine(report: dict[str, Any]) -> str:
    """What the benchmarks ran on: processor or GPU, threads, PyTorch, kernels and the day."""
    about = report["machine_info"]
    name = about.get("gpu", {}).get("name") or f"{about['cpu']['brand_raw']}, {about['threads']} threads"
    return f"{name}, torch {about['torch']}, native kernels: {about['native']}, {report['datetime'][:10]}"


def limits(report: dict[str, Any]) -> str:
    """What the machine can do at most, measured beside the benchmarks."""
    about = report["machine_info"]
    most = about["roofline"]
    parts = [f"{most['gflops']:.0f} GFLOP/s of float32 multiply-adds"] if "gflops" in most else []
    parts += [f"{most['gflops_tf32']:.0f} in TF32"] if "gflops_tf32" in most else []
    parts += [f"{most['gflops_bf16']:.0f} in PyTorch's bf16 matmul", f"{most['gigabytes']:.0f} GB/s copied"]
    gpu = "" if "gpu" in about else " No GPU was at hand, so none was measured."
    return f"at most {', '.join(parts)}.{gpu}"
