"""Energy distance: 1000 packed samples and four graders; 16 street scenes of 24 classes and 32 weighted modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from benchmarks.race import Peer, race
from benchmarks.workloads import blobs
from fastpunet import PackedMasks, energy_distance
from fastpunet.metrics import CONVENTIONS

LOOPED = 100  # masks of the loop over pairs; its time is scaled by the pairs of samples


def loop(samples: np.ndarray, graders: np.ndarray) -> float:
    """As evaluation scripts have it: bool masks, one pair after the other."""

    def mean(xs: np.ndarray, ys: np.ndarray) -> float:
        total = 0.0
        for x in xs:
            for y in ys:
                either = np.logical_or(x, y).sum()
                total += 1 - (np.logical_and(x, y).sum() / either if either else 1.0)
        return total / (len(xs) * len(ys))

    return 2 * mean(samples, graders) - mean(samples, samples) - mean(graders, graders)


@pytest.mark.benchmark(group="energy distance, n = 1000, 4 graders, 128 x 128")
def bench_binary(benchmark: BenchmarkFixture, device: torch.device) -> None:
    samples, graders = blobs(1000, 128, 128), blobs(4, 128, 128, seed=1)
    packed, references = PackedMasks.pack(samples.to(device)), PackedMasks.pack(graders.to(device))
    few = samples[0, :LOOPED].bool().numpy(), graders[0].bool().numpy()
    value = energy_distance(packed[:, :LOOPED], references).value.item()
    assert abs(value - loop(*few)) < 1e-9  # no timing of a wrong answer
    peers = {"NumPy loop": Peer(lambda: loop(*few), LOOPED**2 / 1000**2, rounds=2)}
    race(benchmark, lambda: energy_distance(packed, references), peers, rounds=15, units=1, unit="image")


def confusion_loop(samples: np.ndarray, modes: np.ndarray, weights: np.ndarray, classes: list[int]) -> float:
    """As the published evaluation has it: a confusion matrix for every pair, IoU of the switchable classes from it."""

    def distance(x: np.ndarray, y: np.ndarray) -> float:
        confusion = np.bincount(x.ravel() * 24 + y.ravel(), minlength=24 * 24).reshape(24, 24)
        shared = np.diag(confusion)[classes]
        either = confusion.sum(0)[classes] + confusion.sum(1)[classes] - shared
        return 1 - (shared[either > 0] / either[either > 0]).mean()

    def mean(xs: np.ndarray, ys: np.ndarray, u: np.ndarray, v: np.ndarray) -> float:
        return sum(p * q * distance(x, y) for x, p in zip(xs, u, strict=True) for y, q in zip(ys, v, strict=True))

    equal = np.full(len(samples), 1 / len(samples))
    cross = mean(samples, modes, equal, weights)
    return 2 * cross - mean(samples, samples, equal, equal) - mean(modes, modes, weights, weights)


def street(n: int, seed: int) -> Tensor:
    """n label maps uint8 (1, n, 256, 512) of 24 classes: the same large regions, with classes switched in some."""
    generator = torch.Generator().manual_seed(seed)
    regions = torch.randint(0, 19, (8, 16), generator=torch.Generator().manual_seed(0))
    regions[0, :5] = torch.tensor([0, 1, 8, 11, 13])  # all switchable classes occur
    maps = regions.repeat_interleave(32, 0).repeat_interleave(32, 1).expand(n, -1, -1).clone()
    for one in maps:
        for label, twin in ((0, 23), (1, 19), (8, 22), (11, 20), (13, 21)):
            if torch.rand((), generator=generator) < 0.4:
                one[one == label] = twin
    return maps.to(torch.uint8)[None]


@pytest.mark.benchmark(group="energy distance, 24 classes, 256 x 512, n = 16, 32 modes")
@pytest.mark.parametrize("packed", [False, True], ids=["labels", "packed"])
def bench_street(benchmark: BenchmarkFixture, device: torch.device, packed: bool) -> None:
    samples, modes = street(16, 1), street(32, 2)
    weights = torch.rand(32, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    weights /= weights.sum()
    classes = list(CONVENTIONS["kohl-cityscapes"].averaged)
    few = samples[0, :3].long().numpy(), modes[0, :4].long().numpy(), (weights[:4] / weights[:4].sum()).numpy()
    value = energy_distance(
        samples[:, :3], modes[:, :4], convention="kohl-cityscapes", weights=weights[:4] / weights[:4].sum()
    ).value.item()
    assert abs(value - confusion_loop(*few, classes)) < 1e-9  # no timing of a wrong answer
    whole = samples[0].long().numpy(), modes[0].long().numpy(), weights.numpy()
    ours = [PackedMasks.pack(maps.to(device), 24) if packed else maps.to(device) for maps in (samples, modes)]
    weights = weights.to(device)
    peers = {"confusion matrix a pair": Peer(lambda: confusion_loop(*whole, classes), rounds=3)}
    race(
        benchmark,
        lambda: energy_distance(*ours, convention="kohl-cityscapes", weights=weights),
        peers,
        rounds=15,
        units=1,
        unit="image",
    )
