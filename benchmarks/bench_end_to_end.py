"""Image in, masks out: 128 x 128, the published network, n = 16 and n = 1000; every way in the same precision."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

import fastpunet
from benchmarks import strongest
from benchmarks.port import PortModel
from benchmarks.race import Peer, race
from benchmarks.workloads import PRECISIONS, image, port_model
from fastpunet_kernels import fixed_precision


@pytest.fixture(scope="module")
def port(device: torch.device) -> PortModel:
    return port_model().to(device)


@pytest.fixture(scope="module")
def picture(device: torch.device) -> Tensor:
    return image(128, 128).to(device)


@pytest.fixture(scope="module", autouse=True)
def gate(port: PortModel, picture: Tensor) -> None:
    """No timing of a wrong answer: on the same latents our masks are the port's, but for pixels on the boundary."""
    sampler = fastpunet.Sampler(port, precision="ieee")
    with torch.no_grad():
        port(picture, None, training=False)
        z = port.prior_latent_space.sample((8,)).transpose(0, 1)
        theirs = torch.stack([port.fcomb(port.unet_features, z[:, k])[:, 0] > 0 for k in range(8)], dim=1)
    ours = sampler.decode(sampler.encode(picture), z)
    assert (ours != theirs).float().mean() < 1e-4


@torch.no_grad()
def port_loop(port: PortModel, picture: Tensor, n: int) -> list[Tensor]:
    port(picture, None, training=False)
    return [port.sample(testing=True) > 0 for _ in range(n)]


@torch.no_grad()
def split_and_batched(port: PortModel, picture: Tensor, n: int, precision: str, decode: Any) -> Tensor:
    bf16 = precision == "bf16"
    with fixed_precision(precision, picture.device):
        with torch.autocast(picture.device.type, torch.bfloat16, enabled=bf16):
            features, prior = port.unet(picture, False), port.prior(picture)
        prepared = strongest.prepare(port, features.float(), torch.bfloat16 if bf16 else torch.float32)
        return strongest.sample(prepared, prior.sample((n,))[:, 0].float(), decode, 65536 if bf16 else 8192)


def peers_in(precision: str, port: PortModel, picture: Tensor, n: int) -> dict[str, Peer]:
    ways = {"PyTorch, split and batched": strongest.decode, "PyTorch, the same compiled": strongest.compiled_decode}
    return {
        "port's loop": Peer(partial(port_loop, port, picture, n), rounds=2),
        **{name: Peer(partial(split_and_batched, port, picture, n, precision, way)) for name, way in ways.items()},
    }


def ours(port: PortModel, picture: Tensor, n: int, output: str, precision: str) -> Any:
    return fastpunet.sample(port, picture, n, seed=0, output=output, precision=precision)


@pytest.mark.benchmark(group="end to end, image after image")
@pytest.mark.parametrize("precision", PRECISIONS)
def bench_image_after_image(benchmark: BenchmarkFixture, port: PortModel, picture: Tensor, precision: str) -> None:
    """What a data set of one size costs an image: a sampler that is kept, on a GPU one CUDA graph."""
    sampler = fastpunet.Sampler(port, precision=precision)
    peers = {
        "sampled afresh": Peer(partial(ours, port, picture, 1000, "bits", precision)),
        **peers_in(precision, port, picture, 1000),
    }
    run = partial(sampler.sample, picture, 1000, seed=0, output="bits")
    assert torch.equal(run().words, run().words)  # as launched, then as captured
    race(benchmark, run, peers, rounds=5, units=1000, unit="hypothesis", precision=precision)


@pytest.mark.benchmark(group="end to end")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("n", [16, 1000])
def bench_end_to_end(benchmark: BenchmarkFixture, port: PortModel, picture: Tensor, n: int, precision: str) -> None:
    race(
        benchmark,
        partial(ours, port, picture, n, "bits", precision),
        peers_in(precision, port, picture, n),
        rounds={16: 15, 1000: 5}[n],
        units=n,
        unit="hypothesis",
        precision=precision,
    )
