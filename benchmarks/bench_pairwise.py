"""IoU of 1000 x 1000 binary masks of 128 x 128: discs, as of an object, and noise, which leaves nothing to skip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from scipy.spatial.distance import cdist
from torch import Tensor

from benchmarks.race import Peer, race
from benchmarks.workloads import blobs
from fastpunet import PackedMasks, pairwise_iou

try:
    from pycocotools import mask as coco
except ImportError:  # a peer less, where the extra "bench" is not installed
    coco = None

MASKS, SIDE = 1000, 128
SOME = 100  # masks of the slow peers; their time is scaled by the pairs


def matrix_product(flat: Tensor) -> Tensor:
    shared = flat @ flat.T
    area = flat.sum(1).float()
    return shared / (area[:, None] + area - shared)


def numpy_loop(flat: np.ndarray) -> list[float]:
    return [np.logical_and(a, b).sum() / np.logical_or(a, b).sum() for a in flat for b in flat]


def noise() -> Tensor:
    return torch.randint(0, 2, (1, MASKS, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def run_lengths(labels: Tensor, iou: Tensor, count: int) -> dict[str, Peer]:
    """pycocotools on the first `count` masks, once it has given the right answer."""
    if coco is None:
        return {}
    runs: Any = coco.encode(np.asfortranarray(labels[:count].permute(1, 2, 0).numpy()))
    few = runs[:SOME]
    theirs = torch.from_numpy(coco.iou(few, few, [0] * SOME))
    torch.testing.assert_close(iou[:SOME, :SOME].double(), theirs, rtol=0, atol=1e-6)
    return {"pycocotools": Peer(lambda: coco.iou(runs, runs, [0] * count), (count / MASKS) ** 2)}


@pytest.mark.benchmark(group="IoU, 1000 x 1000 masks of 128 x 128")
@pytest.mark.parametrize("content", ["discs", "noise"])
def bench_pairwise(benchmark: BenchmarkFixture, device: torch.device, content: str) -> None:
    labels = blobs(MASKS, SIDE, SIDE) if content == "discs" else noise()
    packed = PackedMasks.pack(labels.to(device))
    flat = labels[0].flatten(1).float()
    flat_bf16, bits = flat.to(device, torch.bfloat16), flat.bool().numpy()
    flat = flat.to(device)

    ours = pairwise_iou(packed)[0].cpu()  # no timing of a wrong answer
    assert torch.equal(ours, matrix_product(flat).cpu())
    few = bits[:SOME]
    peers = {
        **run_lengths(labels[0], ours, MASKS if content == "discs" else SOME),  # noise is their worst case
        "float32 matmul": Peer(lambda: matrix_product(flat), repeats=5),
        "bf16 matmul, counts rounded": Peer(lambda: matrix_product(flat_bf16), repeats=5),
        "scipy cdist (100 x 100, scaled)": Peer(lambda: cdist(few, few, "jaccard"), (SOME / MASKS) ** 2, 2),
        "NumPy loop (100 x 100, scaled)": Peer(lambda: numpy_loop(few), (SOME / MASKS) ** 2, 2),
    }
    race(benchmark, lambda: pairwise_iou(packed), peers, rounds=9, repeats=5, units=MASKS**2, unit="pair")
