"""The PyTorch port's own loop against the same loop after `accelerate`: `python -m benchmarks.own_loop [OUTPUT.json]`.

For each size of image it checks that both give the same hypotheses, and then times N samples of one image, alternating
between the two, the best of five. `--threads` sets the number of cores, 2 by default. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path

import torch
from torch import nn

import fastpunet
from benchmarks.port import PortModel

CASES = (  # size of the image, classes, samples of one image
    (64, 1, 16),
    (64, 1, 200),
    (128, 1, 16),
    (128, 1, 200),
    (128, 4, 100),
)


def loop(model: nn.Module, image: torch.Tensor, count: int) -> tuple[float, torch.Tensor]:
    """Milliseconds for each sample, without those of `forward`, and the last sample."""
    torch.manual_seed(0)
    with torch.no_grad():
        model(image, None, training=False)
        start = time.perf_counter()
        for _ in range(count):
            sample = model.sample(testing=True)
        return 1000 * (time.perf_counter() - start) / count, sample


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("output", nargs="?", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for size, classes, count in CASES:
        torch.manual_seed(0)
        own = PortModel(1, classes, (32, 64, 128, 192), 6).eval()
        fast, image = fastpunet.accelerate(copy.deepcopy(own)), torch.rand(1, 1, size, size)
        torch.testing.assert_close(loop(fast, image, count)[1], loop(own, image, count)[1], rtol=1e-4, atol=1e-5)
        times = [(loop(own, image, count)[0], loop(fast, image, count)[0]) for _ in range(5)]
        before, after = (min(column) for column in zip(*times, strict=True))
        rows.append(dict(size=size, classes=classes, samples=count, own_ms=before, fast_ms=after, ratio=before / after))
        measured = f"{before:7.3f} ms, {after:7.3f} ms, {before / after:.1f} x"
        print(f"{size:4} px, {classes} classes, {count:3} samples: {measured}")
    if options.output:
        options.output.write_text(json.dumps(dict(threads=options.threads, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
