"""Peak resident memory in MiB above model and image while one image is encoded; it needs a process of its own:

python -m benchmarks.window_memory {windows,whole} HEIGHT WIDTH
"""

from __future__ import annotations

import sys

import torch

import fastpunet
from benchmarks.peak_memory import peak_mib

WINDOW = 256


def main(how: str, height: int, width: int) -> None:
    model: torch.nn.Module = fastpunet.load("lidc-tiny")
    fastpunet.Sampler(model).encode(torch.rand(1, 1, 16, 16))  # loads what the first call loads
    image = torch.rand(1, 1, height, width)
    drawing = fastpunet.Sampler(fastpunet.windowed(model, WINDOW) if how == "windows" else model)
    before = peak_mib()
    encoding = drawing.encode(image)
    features = encoding.parts()["the U-Net's features"]
    print(f"{peak_mib() - before:.0f} MiB; the features alone {features.numel() * 4 / 2**20:.0f} MiB")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
