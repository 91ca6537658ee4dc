"""Peak resident memory of 1000 hypotheses as bits, above the loaded model: run it as a program of its own."""

from __future__ import annotations

import resource

import torch

import fastpunet


def peak_mib() -> float:
    """The highest resident size of this process so far, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    model = fastpunet.ProbabilisticUNet().eval()
    image = torch.rand(1, 1, 128, 128)
    before = peak_mib()
    fastpunet.sample(model, image, 1000, seed=0, output="bits")
    print(f"model loaded {before:.0f} MiB, peak {peak_mib():.0f} MiB: {peak_mib() - before:.0f} MiB above")


if __name__ == "__main__":
    main()
