"""Decoding alone, the features of the image being known: workload L (128 x 128, 1000 hypotheses), and 24 classes."""

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
from benchmarks.workloads import PRECISIONS, decode_flop, image, port_model
from fastpunet.latents import draw_latents
from fastpunet_kernels import fixed_precision

HYPOTHESES = 1000
LOOPED = 30  # of the loops, which are linear in n
BATCHED = 1000 if torch.cuda.is_available() else LOOPED  # of what is batched: a GPU has to be filled
MAPS = 1000 if torch.cuda.is_available() else 16  # of 24 classes


class Workload:
    """A model and an encoded image, checked: our logits are those of the port's own f_comb."""

    def __init__(self, classes: int, height: int, width: int, device: torch.device) -> None:
        self.port: PortModel = port_model(classes).to(device)
        self.image = image(height, width).to(device)
        self.pixels, self.classes = height * width, classes
        with torch.no_grad():
            self.port(self.image, None, training=False)
        self.encoding = fastpunet.Sampler(self.port, precision="ieee").encode(self.image)
        self.z = draw_latents(self.encoding.prior.mu, self.encoding.prior.sigma, HYPOTHESES, seed=0)
        ours = fastpunet.Sampler(self.port, precision="ieee").decode(self.encoding, self.z[:, :4], output="logits")
        with torch.no_grad():
            theirs = torch.stack([self.port.fcomb(self.encoding.features, self.z[:, k]) for k in range(4)], dim=1)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)

    def ours(self, n: int, output: str, precision: str) -> Any:
        return fastpunet.Sampler(self.port, precision=precision).draw(self.encoding, n, seed=0, output=output)

    @torch.no_grad()
    def port_loop(self, n: int) -> list[Tensor]:
        """What users run: a fresh z, tiled and concatenated, through the whole f_comb."""
        logits = [self.port.sample(testing=True) for _ in range(n)]
        return [one > 0 if self.classes == 1 else one.argmax(1) for one in logits]

    @torch.no_grad()
    def strongest(self, n: int, run: Any, rows: int, precision: str, dtype: torch.dtype = torch.float32) -> Tensor:
        with fixed_precision(precision, self.image.device):
            prepared = strongest.prepare(self.port, self.encoding.features, dtype)
            return strongest.sample(prepared, self.z[0, :n], run, rows)


@pytest.fixture(scope="module")
def workload_l(device: torch.device) -> Workload:
    return Workload(1, 128, 128, device)


@pytest.fixture(scope="module")
def street(device: torch.device) -> Workload:
    return Workload(24, 256, 512, device)


def _peers(work: Workload, precision: str) -> dict[str, Peer]:
    def batched(decode: Any, rows: int, dtype: torch.dtype = torch.float32) -> Peer:
        return Peer(partial(work.strongest, BATCHED, decode, rows, precision, dtype), BATCHED / HYPOTHESES)

    compiled = strongest.compiled_decode
    return {
        "port's loop": Peer(partial(work.port_loop, LOOPED), LOOPED / HYPOTHESES),
        "PyTorch, split and batched": batched(strongest.decode, 8192),
        "PyTorch, split, batched, compiled": batched(compiled, 8192),
        "PyTorch, the same in bf16": batched(compiled, 65536, torch.bfloat16),
    }


@pytest.mark.benchmark(group="decode, workload L, n = 1000")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("output", ["bits", "labels", "probs"])
def bench_decode(benchmark: BenchmarkFixture, workload_l: Workload, output: str, precision: str) -> None:
    ours = partial(workload_l.ours, HYPOTHESES, output, precision)
    flop = decode_flop(workload_l.pixels, HYPOTHESES)
    race(
        benchmark,
        ours,
        _peers(workload_l, precision),
        flop=flop,
        units=HYPOTHESES,
        unit="hypothesis",
        precision=precision,
    )


@pytest.mark.benchmark(group=f"decode, 24 classes, 256 x 512, n = {MAPS}, labels")
@pytest.mark.parametrize("precision", PRECISIONS)
def bench_decode_classes(benchmark: BenchmarkFixture, street: Workload, precision: str) -> None:
    n = MAPS
    peers = {
        "port's loop": Peer(partial(street.port_loop, 4), 4 / n),
        "PyTorch, split and batched": Peer(partial(street.strongest, 4, strongest.decode, 8192, precision), 4 / n),
        "PyTorch, split, batched, compiled": Peer(
            partial(street.strongest, 4, strongest.compiled_decode, 8192, precision), 4 / n
        ),
    }
    flop = decode_flop(street.pixels, n, 24)
    ours = partial(street.ours, n, "labels", precision)
    race(benchmark, ours, peers, flop=flop, units=n, unit="hypothesis", precision=precision)
