"""One pass of U-Net and prior over a batch of images."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from fastpunet.models import foreign


def encode(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """images (B, C, H, W) to features, mu and sigma, as PyTorch runs the model; on a CPU with channels last in memory.

    That layout is the one that oneDNN's convolutions want: 1.2 times as fast in float32, 1.7 times in bfloat16. It
    changes results by rounding only, and nothing about the model.
    """
    if images.device.type == "cpu":
        images = images.to(memory_format=torch.channels_last)  # unlike contiguous(), also of a single channel
    return foreign.encode(model, images)


@cache
def _compiled() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    return torch.compile(encode, dynamic=False)  # not at import: that would load the compiler for everybody


def compiled_encode(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same through torch.compile; the first call for a shape compiles, and needs a C++ compiler on a CPU."""
    return _compiled()(model, images)
