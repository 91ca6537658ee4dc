"""U-Net and prior alone: as PyTorch runs the port's, as ours are run, and compiled on request (Sampler.tune)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

import fastpunet
from benchmarks.port import PortModel
from benchmarks.race import Peer, race
from benchmarks.workloads import image, port_model


@pytest.fixture(scope="module")
def port(device: torch.device) -> PortModel:
    return port_model().to(device)


@torch.no_grad()
def plain(port: PortModel, picture: Tensor, bf16: bool) -> Any:
    with torch.autocast(picture.device.type, torch.bfloat16, enabled=bf16):
        return port.unet(picture, False), port.prior(picture)


@pytest.mark.benchmark(group="encoder")
@pytest.mark.parametrize("precision", ["ieee", "bf16"])
@pytest.mark.parametrize("size", [64, 128, 256])
def bench_encoder(
    benchmark: BenchmarkFixture, port: PortModel, device: torch.device, size: int, precision: str
) -> None:
    picture = image(size, size).to(device)
    sampler, tuned = (fastpunet.Sampler(port, precision=precision) for _ in range(2))
    seconds = tuned.tune(picture)
    features, _ = plain(port, picture, False)
    for one in (sampler, tuned):  # no timing of a wrong answer
        error = (one.encode(picture).features - features).abs().max() / features.abs().max()
        assert error < {"ieee": 1e-4, "bf16": 0.05}[precision]
    peers = {
        "port, float32": Peer(partial(plain, port, picture, False)),
        "port, bf16 autocast": Peer(partial(plain, port, picture, True)),
        "ours, tuned": Peer(partial(tuned.encode, picture)),
    }
    facts = {"units": 1, "unit": "image", "compilation": seconds["compilation"], "precision": precision}
    race(benchmark, partial(sampler.encode, picture), peers, **facts)
