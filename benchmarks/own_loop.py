"""The PyTorch port's own loop against the same loop after `accelerate`: `python -m benchmarks.own_loop [OUTPUT.json]`.

For each size it times N samples of an image, alternating between the two, each time of another image, and checks that
both give the same. The best of five counts. `--threads` sets the number of cores, 2 by default. Nothing else may run
meanwhile.
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
        fast = fastpunet.accelerate(copy.deepcopy(own))
        times = []
        for seed in range(6):  # another image each time, of which nothing is known
            image, measured = torch.rand(1, 1, size, size), []
            for model in (own, fast):
                torch.manual_seed(seed)
                measured.append(loop(model, image, count))
            torch.testing.assert_close(measured[1][1], measured[0][1], rtol=1e-4, atol=1e-5)
            times.append([milliseconds for milliseconds, _ in measured])
        before, after = (min(column) for column in zip(*times[1:], strict=True))
        rows.append(dict(size=size, classes=classes, samples=count, own_ms=before, fast_ms=after, ratio=before / after))
        found = f"{before:7.3f} ms, {after:7.3f} ms, {before / after:.1f} x"
        print(f"{size:4} px, {classes} classes, {count:3} samples: {found}")
    if options.output:
        options.output.write_text(json.dumps(dict(threads=options.threads, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
