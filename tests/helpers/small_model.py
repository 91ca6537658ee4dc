"""A model that draws in milliseconds, and pictures for it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

import fastpunet
from fastpunet import ProbabilisticUNet
from fastpunet.intensity import EIGHT_BIT


def save_small_model(path: Path, **options: object) -> Path:
    """A model of images (20, 24) whose hypotheses differ, and of which some are empty."""
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, channels=(4, 6), latent_dim=2, convs_per_block=1, **options).eval()
    model.intensity, model.image_size = EIGHT_BIT, (20, 24)
    with torch.no_grad():
        model.fcomb.last_layer.bias.fill_(-0.3)
        model.prior.conv_layer.bias[2:].fill_(0.0)
        model.fcomb.layers[0].weight[:, :4] *= 9
    fastpunet.save(model, path)
    return path


def save_pictures(folder: Path, count: int, sizes: tuple[tuple[int, int], ...] = ((20, 24), (17, 31))) -> Path:
    """Noise in PNG files case00, case01, ... of sizes that take turns."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for place in range(count):
        pixels = rng.integers(0, 256, sizes[place % len(sizes)], dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"case{place:02}.png")
    return folder
