"""How cost grows: with hypotheses, pixels and classes; time and peak memory of a summary up to 100 000 hypotheses."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

import fastpunet
from benchmarks.race import race
from benchmarks.workloads import decode_flop, image, port_model


def _measure(
    benchmark: BenchmarkFixture, device: torch.device, axis: str, value: int, size: int, n: int, classes: int
) -> None:
    model, picture = port_model(classes).to(device), image(size, size).to(device)
    sampler = fastpunet.Sampler(model, precision="ieee")
    encoding = sampler.encode(picture)
    rounds = 9 if n * size * size * classes <= 1 << 25 else 3

    def ours() -> Any:
        return sampler.draw(encoding, n, seed=0, output="bits" if classes == 1 else "labels")

    assert ours().shape == (1, n, size, size)
    flop = decode_flop(size * size, n, classes)
    race(benchmark, ours, {}, rounds=rounds, flop=flop, units=n, unit="hypothesis", axis=axis, value=value)


@pytest.mark.benchmark(group="scaling: hypotheses of 128 x 128")
@pytest.mark.parametrize("n", [1, 4, 16, 100, 1000, 10_000])
def bench_hypotheses(benchmark: BenchmarkFixture, device: torch.device, n: int) -> None:
    _measure(benchmark, device, "hypotheses", n, 128, n, 1)


@pytest.mark.benchmark(group="scaling: pixels, n = 100")
@pytest.mark.parametrize("size", [64, 128, 256, 512])
def bench_pixels(benchmark: BenchmarkFixture, device: torch.device, size: int) -> None:
    _measure(benchmark, device, "pixels", size * size, size, 100, 1)


@pytest.mark.benchmark(group="scaling: classes, 128 x 128, n = 100")
@pytest.mark.parametrize("classes", [1, 2, 11, 24, 100])
def bench_classes(benchmark: BenchmarkFixture, device: torch.device, classes: int) -> None:
    _measure(benchmark, device, "classes", classes, 128, 100, classes)


@pytest.mark.benchmark(group="scaling: summary of 128 x 128")
@pytest.mark.parametrize("n", [1000, 10_000, 100_000])
def bench_summary(benchmark: BenchmarkFixture, device: torch.device, n: int) -> None:
    model, picture = port_model().to(device), image(128, 128).to(device)
    command = [sys.executable, "-m", "benchmarks.peak_memory", "summarize", str(n)]
    peak = subprocess.run(command, check=True, capture_output=True, text=True)
    rounds = {1000: 9, 10_000: 5, 100_000: 2}[n]
    ours = partial(fastpunet.summarize, model, picture, n, seed=0)
    facts = {"axis": "summary", "value": n, "peak_mib": float(peak.stdout)}
    race(benchmark, ours, {}, rounds=rounds, units=n, unit="hypothesis", **facts)
