"""Peak resident memory in MiB above the loaded model, for which a process of its own is needed:

python -m benchmarks.peak_memory {bits,summarize} N
"""

from __future__ import annotations

import resource
import sys

import torch

import fastpunet


def peak_mib() -> float:
    """The highest resident size of this process so far, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(what: str, n: int) -> None:
    model = fastpunet.ProbabilisticUNet().eval()
    picture = torch.rand(1, 1, 128, 128)
    before = peak_mib()
    if what == "summarize":
        fastpunet.summarize(model, picture, n, seed=0)
    else:
        fastpunet.sample(model, picture, n, seed=0, output="bits")
    print(f"{peak_mib() - before:.1f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
