"""Thousands of varied calls in one process: `python -m tests.soak --calls 10000 --seed 0`.

Prints the memory, open files and threads of the process every thousand calls. The exit status is 1 if files or threads
are left, or if memory grew by more than 20 MB in the second half of the calls. In the first one caches fill, which have
entries for each shape of images.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import fastpunet
from fastpunet.hypotheses import measure, modes
from fastpunet.metrics import matched_iou

_MOST_GROWTH = 20 << 20  # bytes


class Usage(NamedTuple):
    """What the process holds."""

    memory: int  # bytes, resident
    files: int
    threads: int

    @classmethod
    def now(cls) -> Usage:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")), threading.active_count())


def soak(calls: int, seed: int, folder: Path, say: Callable[[str], None] = print) -> tuple[Usage, Usage]:
    """Make that many calls of random kinds; what is held after half of them, and at the end."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = fastpunet.ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=2).eval()
    sampler = fastpunet.Sampler(model)
    kinds = _kinds(model, sampler, folder)
    before = Usage.now()
    for number in range(calls):
        size = tuple(int(side) for side in rng.integers(8, 40, 2))
        images = torch.rand(int(rng.integers(1, 4)), 1, *size)
        kinds[rng.integers(len(kinds))](images, int(rng.integers(1, 60)), int(rng.integers(1 << 32)))
        if number == calls // 2:
            before = Usage.now()
        if number % 1000 == 999:
            now = Usage.now()
            say(f"{number + 1:6} calls: {now.memory >> 20} MB, {now.files} files, {now.threads} threads")
    return before, Usage.now()


def _kinds(
    model: fastpunet.ProbabilisticUNet, sampler: fastpunet.Sampler, folder: Path
) -> list[Callable[[torch.Tensor, int, int], object]]:
    """The calls: functions of images, a number of hypotheses and a seed."""
    weights = folder / "model.safetensors"
    fastpunet.save(model, weights)
    return [
        lambda images, n, seed: fastpunet.sample(model, images, n, seed=seed),
        lambda images, n, seed: sampler.sample(images, n, seed=seed, output="bits"),
        lambda images, n, seed: sampler.sample(images, n, seed=seed, output="logits"),
        lambda images, n, seed: sampler.draw(sampler.encode(images), n, seed=seed),
        lambda images, n, seed: list(sampler.stream(sampler.encode(images), n, seed=seed)),
        lambda images, n, seed: next(sampler.stream(sampler.encode(images), n, seed=seed)),  # and left in the middle
        lambda images, n, seed: fastpunet.summarize(model, images, n, seed=seed),
        lambda images, n, seed: modes(sampler.sample(images, n, seed=seed)),
        lambda images, n, seed: measure(sampler.sample(images, n, seed=seed)),
        lambda images, n, seed: fastpunet.pairwise_iou(sampler.sample(images, n, seed=seed)),
        lambda images, n, seed: fastpunet.energy_distance(*2 * [sampler.sample(images, n, seed=seed)]),
        lambda images, _, seed: matched_iou(*2 * [sampler.sample(images, 4, seed=seed)]),
        lambda images, n, seed: fastpunet.sample(fastpunet.load(weights), images, n, seed=seed),
        lambda _, n, seed: fastpunet.save(model, folder / f"{(seed + n) % 3}.safetensors"),
        lambda images, n, seed: _refused(lambda: fastpunet.sample(model, images * torch.nan, n, seed=seed)),
        lambda *_: _refused(lambda: fastpunet.load(folder / "none.pt")),
    ]


def _refused(call: Callable[[], object]) -> None:
    try:
        call()
    except (ValueError, OSError):
        return
    raise AssertionError("a wrong call was taken")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before, after = soak(options.calls, options.seed, Path(folder))
    print(f"after half: {before}; at the end: {after}")
    return int(after[1:] != before[1:] or after.memory - before.memory > _MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
