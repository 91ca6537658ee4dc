"""Peak resident memory in MiB above the loaded model, for which a process of its own is needed:

python -m benchmarks.peak_memory {bits,summarize} N
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

import fastpunet


def peak_mib() -> float:
    """The highest resident size of this program so far, in MiB. (getrusage would begin with that of its parent.)"""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


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
