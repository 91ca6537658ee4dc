"""Workload L: 1000 hypotheses of one 128 x 128 image, filters [32, 64, 128, 192], latent 6, f_comb 32-32-32-32-1.

Peers in one run, images in and masks out: the port's loop, and a plain PyTorch loop with z expanded instead of tiled.
The peers are timed on fewer hypotheses and counted per hypothesis: their cost is linear.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

import fastpunet
from benchmarks.port import PortModel
from fastpunet.latents import draw_latents

HYPOTHESES = 1000
LOOPED = 100  # of the loops


@pytest.fixture(scope="module")
def port(device: torch.device) -> PortModel:
    torch.manual_seed(0)
    return PortModel().to(device).eval()


@pytest.fixture(scope="module")
def image(device: torch.device) -> torch.Tensor:
    return torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(1)).to(device)


@pytest.fixture(scope="module", autouse=True)
def gate(port: PortModel, image: torch.Tensor) -> None:
    """No timing without the right answer: our logits equal the port's own f_comb on the same latents."""
    sampler = fastpunet.Sampler(port, precision="ieee")
    encoding = sampler.encode(image)
    z = draw_latents(encoding.mu, encoding.sigma, 8, seed=0)
    ours = sampler.draw(encoding, 8, seed=0, output="logits")
    with torch.no_grad():
        theirs = torch.stack([port.fcomb(encoding.features, z[:, k]) for k in range(8)], dim=1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@torch.no_grad()
def port_loop(port: PortModel, image: torch.Tensor, n: int) -> list[torch.Tensor]:
    port(image, None, training=False)
    masks = [port.sample(testing=True) > 0 for _ in range(n)]
    _synchronize(image.device)
    return masks


@torch.no_grad()
def expanded_loop(port: PortModel, image: torch.Tensor, n: int) -> list[torch.Tensor]:
    features, prior = port.unet(image, False), port.prior(image)
    masks = []
    for _ in range(n):
        z = prior.sample()[:, :, None, None].expand(-1, -1, *image.shape[-2:])
        masks.append(port.fcomb.last_layer(port.fcomb.layers(torch.cat((features, z), dim=1))) > 0)
    _synchronize(image.device)
    return masks


def ours(port: PortModel, image: torch.Tensor, n: int, output: str) -> Any:
    masks = fastpunet.sample(port, image, n, seed=0, output=output)
    _synchronize(image.device)
    return masks


def _record(benchmark: BenchmarkFixture, n: int) -> None:
    benchmark.extra_info["hypotheses"] = n
    if benchmark.stats is not None:  # absent under --benchmark-disable
        benchmark.extra_info["ms_per_hypothesis"] = 1000 * benchmark.stats.stats.median / n


@pytest.mark.benchmark(group="workload L, end to end")
def bench_port_loop(benchmark: BenchmarkFixture, port: PortModel, image: torch.Tensor) -> None:
    benchmark.pedantic(port_loop, (port, image, LOOPED), rounds=5, warmup_rounds=1)
    _record(benchmark, LOOPED)


@pytest.mark.benchmark(group="workload L, end to end")
def bench_expanded_loop(benchmark: BenchmarkFixture, port: PortModel, image: torch.Tensor) -> None:
    benchmark.pedantic(expanded_loop, (port, image, LOOPED), rounds=5, warmup_rounds=1)
    _record(benchmark, LOOPED)


@pytest.mark.benchmark(group="workload L, end to end")
@pytest.mark.parametrize("output", ["bits", "labels", "probs"])
def bench_fastpunet(benchmark: BenchmarkFixture, port: PortModel, image: torch.Tensor, output: str) -> None:
    benchmark.pedantic(ours, (port, image, HYPOTHESES, output), rounds=5, warmup_rounds=1)
    _record(benchmark, HYPOTHESES)
