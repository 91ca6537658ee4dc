"""Pruned decoding, dense kernels and the published loop, on trained weights and on random ones, which prove nothing.

The LIDC image is that of `lidc_tiny_test_64.npz` in $FASTPUNET_DATA (docs/contributing/tests.md).
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

import fastpunet
from benchmarks.port import PortModel
from benchmarks.race import Peer, race
from benchmarks.workloads import image, port_model
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.models.latent_method import LatentEncoding
from fastpunet.models.priors import AxisAligned

ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "checkpoints" / "lidc-tiny" / "Probabilistic-U-Net-seed0.safetensors"


def _lesion() -> torch.Tensor:
    return torch.as_tensor(SyntheticLesions(1, seed=1)[0].image)[None]


def _lidc() -> torch.Tensor:
    path = Path(os.environ.get("FASTPUNET_DATA", ROOT.parent / "shared" / "data")) / "lidc" / "lidc_tiny_test_64.npz"
    if not path.exists():
        pytest.skip(f"no data at {path}; set FASTPUNET_DATA")
    return torch.from_numpy(np.load(path)["images"][0].astype("float32") / 255)[None, None]


PROBLEMS = {
    "lidc-tiny without a map, 64 x 64": (lambda: fastpunet.load(CHECKPOINT), _lidc),
    "lesions, 64 x 64": (lambda: fastpunet.load("lesions"), _lesion),
    "random weights, 128 x 128": (port_model, lambda: image(128, 128)),
}


@torch.no_grad()
def published_loop(model: fastpunet.ProbabilisticUNet, encoding: LatentEncoding, n: int) -> None:
    """Masks of one image as published code makes them: one pass of f_comb, in float32, for each hypothesis."""
    prior = encoding.prior
    assert isinstance(prior, AxisAligned)
    for _ in range(n):
        z = torch.normal(prior.mu, prior.sigma)
        model.fcomb(encoding.features, z) > 0  # noqa: B015  timed


@pytest.mark.benchmark(group="pruned decoding, bits")
@pytest.mark.parametrize("precision", ["ieee", "bf16"])
@pytest.mark.parametrize("n", [16, 100, 1000, 10_000])
@pytest.mark.parametrize("problem", PROBLEMS)
def bench_pruning(
    benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch, problem: str, n: int, precision: str
) -> None:
    model, picture = (make() for make in PROBLEMS[problem])
    sampler = fastpunet.Sampler(model, precision=precision, backend="native")
    encoding = sampler.encode(picture)

    def draw(pruning: str) -> Any:
        monkeypatch.setenv("FASTPUNET_PRUNING", pruning)
        return sampler.draw(encoding, n, seed=0, output="bits")

    assert torch.equal(draw("auto").words, draw("off").words)
    fewer = min(n, 1000)
    ours, peers = partial(draw, "auto"), {"dense": Peer(partial(draw, "off"))}
    if not isinstance(model, PortModel):
        peers["published loop, float32"] = Peer(partial(published_loop, model, encoding, fewer), fewer / n, rounds=2)
    race(benchmark, ours, peers, rounds=9 if n <= 1000 else 5, units=n, unit="hypothesis", precision=precision)
