"""The strongest sampler that a user would write with PyTorch alone: features cached, first layer split, hypotheses in
batches that fit the caches, and all of it compiled.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.port import PortModel


def prepare(port: PortModel, features: Tensor, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """What is computed once an image: the features' share of the first layer, and the weights as matrices."""
    first, *hidden, last = [*port.fcomb.layers[::2], port.fcomb.last_layer]
    channels = features.shape[1]
    weight = first.weight[:, :, 0, 0]
    return {
        "base": F.linear(features[0].flatten(1).T, weight[:, :channels], first.bias).to(dtype),  # (P, h)
        "z_weight": weight[:, channels:],
        "layers": [(conv.weight[:, :, 0, 0].to(dtype), conv.bias.to(dtype)) for conv in (*hidden, last)],
    }


def decode(base: Tensor, offset: Tensor, layers: list[tuple[Tensor, Tensor]]) -> Tensor:
    """base (P, h) and offset (n, h) to decisions: bool (n, P), or labels (n, P) of several classes."""
    hidden = F.relu(base + offset[:, None])
    for weight, bias in layers[:-1]:
        hidden = F.relu(F.linear(hidden, weight, bias))
    logits = F.linear(hidden, *layers[-1])
    return logits[..., 0] > 0 if logits.shape[-1] == 1 else logits.argmax(-1)


compiled_decode = torch.compile(decode, dynamic=False)


def sample(prepared: dict[str, Any], z: Tensor, run: Any, rows: int) -> Tensor:
    """z (n, latent_dim) to decisions (n, P), in tiles of `rows` pixels times hypotheses.

    On two cores 8192 proved best in float32, compiled or not, and 65536 for compiled bfloat16 (of 2048 .. 262144). A
    GPU takes 256 times as many, which fill it; that number has not been tuned. Tiles are of equal size where they can
    be, because every other size is compiled anew.
    """
    base = prepared["base"]
    rows *= 256 if base.is_cuda else 1
    offset = (z @ prepared["z_weight"].T).to(base.dtype)
    pixels = min(rows, base.shape[0])
    hypotheses = -(-len(z) // -(-len(z) // max(1, rows // pixels)))
    classes = prepared["layers"][-1][0].shape[0]
    dtype = torch.bool if classes == 1 else torch.uint8
    out = torch.empty((z.shape[0], base.shape[0]), dtype=dtype, device=base.device)
    for p in range(0, base.shape[0], pixels):
        for k in range(0, z.shape[0], hypotheses):
            out[k : k + hypotheses, p : p + pixels] = run(
                base[p : p + pixels], offset[k : k + hypotheses], prepared["layers"]
            )
    return out
