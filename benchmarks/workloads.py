"""The work that the benchmarks share."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.port import PortModel

FILTERS = (32, 64, 128, 192)
LATENT_DIM = 6
FCOMB_LAYERS = 4
PRECISIONS = ("bf16", "tf32", "ieee") if torch.cuda.is_available() else ("ieee", "bf16")  # a GPU's shortest first


def port_model(num_classes: int = 1) -> PortModel:
    """The published architecture with random weights; f_comb FILTERS[0] wide and FCOMB_LAYERS deep."""
    torch.manual_seed(0)
    return PortModel(num_classes=num_classes, num_filters=FILTERS, latent_dim=LATENT_DIM).eval()


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(1))


def blobs(n: int, height: int, width: int, seed: int = 0) -> Tensor:
    """n discs uint8 (1, n, H, W) about the middle, of different centres and radii: they overlap as graders' do."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    middle = torch.tensor([height / 2, width / 2])
    centres = middle + torch.randn(n, 2, generator=generator) * height / 10
    radii = height / 8 * (1 + torch.rand(n, generator=generator))
    squared = (y - centres[:, 0, None, None]) ** 2 + (x - centres[:, 1, None, None]) ** 2
    return (squared < radii[:, None, None] ** 2).to(torch.uint8)[None]


def decode_flop(pixels: int, n: int, classes: int = 1) -> int:
    """Floating-point operations of the layers after the split first one: 4160 a pixel and hypothesis if binary."""
    width, hidden = FILTERS[0], FCOMB_LAYERS - 2
    return 2 * (hidden * width * width + width * classes) * pixels * n
