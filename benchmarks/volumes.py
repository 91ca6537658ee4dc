"""What hypotheses of a volume cost: seconds and peak memory of a summary, in processes of their own. Prints a table:

OMP_NUM_THREADS=2 python -m benchmarks.volumes [--sides 128 256] [--n 100 1000] [--channels 16]

A Probabilistic U-Net of volumes (random weights, four scales) looks at a cube by windows of 64 with overlap 0.25, once
with kept features and once slab by slab. Memory is the peak of resident memory above model and image.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import torch

import fastpunet
from benchmarks.peak_memory import peak_mib

WINDOW, OVERLAP = 64, 0.25


def measure(side: int, n: int, channels: int, by_slab: bool) -> str:
    torch.manual_seed(0)
    widths = [channels, 2 * channels, 4 * channels, 4 * channels]
    model = fastpunet.ProbabilisticUNet(1, 1, widths, 6, convs_per_block=2, dims=3).eval()
    fastpunet.summarize(model, torch.rand(1, 1, 16, 16, 16), 2, seed=0)  # loads what the first call loads
    volume = torch.rand(1, 1, side, side, side)
    windows = fastpunet.windowed(model, WINDOW, OVERLAP, by_slab=by_slab)
    before, start = peak_mib(), time.perf_counter()
    drawing = fastpunet.Sampler(windows)
    encoding = drawing.encode(volume)
    encoded = time.perf_counter() - start
    del encoding
    start = time.perf_counter()
    summary = fastpunet.summarize(windows, volume, n, seed=0)
    seconds = time.perf_counter() - start
    assert summary.volume.shape == (1, n, 1)
    assert torch.isfinite(summary.mean).all()
    return f"{encoded:.0f} s | {seconds:.0f} s | {peak_mib() - before:.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--n", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--one", type=int, nargs=4, help=argparse.SUPPRESS)  # side, n, channels, by_slab
    options = parser.parse_args()
    if options.one:
        print(measure(*options.one[:3], bool(options.one[3])))
        return
    print("| volume | n | features | encoding alone | encoding and summary | peak memory |\n|" + " --- |" * 6)
    for side in options.sides:
        for n in options.n:
            for by_slab in (False, True):
                one = [str(value) for value in (side, n, options.channels, int(by_slab))]
                command = [sys.executable, "-m", "benchmarks.volumes", "--one", *one]
                row = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
                print(f"| {side}^3 | {n} | {'slab by slab' if by_slab else 'kept'} | {row} |", flush=True)


if __name__ == "__main__":
    main()
