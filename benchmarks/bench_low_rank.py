"""Hypotheses of a stochastic segmentation network beside those of the published f_comb, and beside PyTorch.

The op is timed alone, for images that have been encoded: 1000 hypotheses of 128 x 128 pixels, one logit, as bits. With
random numbers the noise of every pixel counts; the weights of `checkpoints/lidc-tiny/`, on an image of
`lidc_tiny_test_64.npz` enlarged to 128 x 128, leave out what cannot change a label.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

import fastpunet
from benchmarks.race import Peer, race
from benchmarks.workloads import image, port_model
from fastpunet_kernels import LowRankLogits, draw_low_rank, pack_bits

ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "checkpoints" / "lidc-tiny" / "SSN-seed0.safetensors"
SIDE, RANK, N = 128, 10, 1000


def _random() -> LowRankLogits:
    generator = torch.Generator().manual_seed(0)
    mean, sigma = torch.randn(1, 1, SIDE**2, generator=generator), torch.rand(1, 1, SIDE**2, generator=generator) + 1
    return LowRankLogits(mean, torch.randn(1, RANK, 1, SIDE**2, generator=generator), sigma)


def _trained() -> LowRankLogits:
    path = Path(os.environ.get("FASTPUNET_DATA", ROOT.parent / "shared" / "data")) / "lidc" / "lidc_tiny_test_64.npz"
    if not path.exists():
        pytest.skip(f"no data at {path}; set FASTPUNET_DATA")
    picture = torch.from_numpy(np.load(path)["images"][0].astype("float32") / 255)[None, None]
    encoding = fastpunet.Sampler(fastpunet.load(CHECKPOINT)).encode(
        F.interpolate(picture, (SIDE, SIDE), mode="bilinear")
    )
    return encoding.normal


PROBLEMS = {"random": _random, "lidc-tiny-ssn": _trained}


def _by_torch(normal: LowRankLogits, e: Tensor) -> Tensor:
    """The same distribution by a matrix product and PyTorch's own noise, a hundred hypotheses at a time."""
    mean, factor, sigma = (part[0].flatten(0, -2) for part in normal)
    parts = [
        torch.addmm(mean, some, factor).addcmul_(sigma, torch.randn(len(some), SIDE**2)) for some in e[0].split(100)
    ]
    return torch.cat([pack_bits(part > 0) for part in parts])


@pytest.mark.benchmark(group="1000 hypotheses of 128 x 128 pixels, bits: low-rank normal of rank 10")
@pytest.mark.parametrize("problem", PROBLEMS)
def bench_low_rank(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    normal, ids = PROBLEMS[problem](), torch.tensor([3])
    e = torch.randn(1, N, RANK, generator=torch.Generator().manual_seed(1))
    sampler = fastpunet.Sampler(port_model(), precision="ieee", backend="native")
    encoding = sampler.encode(image(SIDE, SIDE))

    def draw(pruning: str) -> Tensor:
        monkeypatch.setenv("FASTPUNET_PRUNING", pruning)
        return draw_low_rank(normal, e, ids, seed=0, output="bits")

    def decode() -> fastpunet.PackedMasks:
        monkeypatch.setenv("FASTPUNET_PRUNING", "off")
        return sampler.draw(encoding, N, seed=0, output="bits")

    expected = draw_low_rank(normal, e[:, :50], ids, seed=0, output="bits", backend="reference")
    wrong = fastpunet.PackedMasks(draw("auto")[:, :50] ^ expected, (SIDE, SIDE)).unpack().float().mean()
    assert wrong < 1e-5, f"{wrong:.2g} of the pixels differ from the reference"
    assert torch.equal(draw("auto"), draw("off"))
    peers = {
        "the same, with the noise of every pixel": Peer(partial(draw, "off")),
        "f_comb of the published network, dense": Peer(decode),
        "PyTorch": Peer(partial(_by_torch, normal, e)),
    }
    race(benchmark, partial(draw, "auto"), peers, rounds=7, units=N, unit="hypothesis", precision="ieee")
