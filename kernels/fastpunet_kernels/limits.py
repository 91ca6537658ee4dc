"""Raises an error for numbers that would overflow float32 inside f_comb.

NaN, infinity and overflow would otherwise become an ordinary label. If all sums of absolute values stay below
`LARGEST`, none of them can occur, whatever the order in which a backend sums. native/limits.cpp does the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LARGEST = 1e38  # float32 overflows at 3.4e38; the margin allows for rounding


def check_limits(
    base: Tensor, z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], offset: Tensor
) -> None:
    """Raise ValueError, naming the part, unless f_comb of base (B, P, h) plus offset (B, n, h) stays within float32."""
    allowed = _largest_input(z_weight, weights, biases)
    for name, part, advice in (
        ("latents", offset, "check z, or mu and sigma of the prior"),
        ("base", base, "check the images and the U-Net's weights"),
    ):
        largest = part.abs().max().item() if part.numel() else 0.0
        if not largest <= allowed:
            raise ValueError(
                f"{name}: got NaN, infinity or numbers so large that float32 overflows in the layers of f_comb, "
                f"expected at most {allowed:.3g} of the first layer; {advice}"
            )
        allowed -= largest


def _largest_input(z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> float:
    """The largest output of the first layer for which no later layer exceeds LARGEST.

    If that output is at most m, then a later layer's output is at most gain * m + shift.
    """
    _check_finite("z_weight", z_weight)
    gain, shift, allowed = 1.0, 0.0, LARGEST
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        _check_finite(f"weights[{layer}]", weight)
        _check_finite(f"biases[{layer}]", bias)
        rows = weight.double().abs().sum(1)
        gain, shift = float(rows.max()) * gain, float((rows * shift + bias.double().abs()).max())
        if shift >= LARGEST:
            raise ValueError(
                f"decoder: got numbers in weights[{layer}] and biases[{layer}] or before so large that float32 "
                "overflows, expected those of a trained model; check the checkpoint"
            )
        allowed = min(allowed, (LARGEST - shift) / gain) if gain > 0 else allowed
    return allowed


def _check_finite(name: str, part: Tensor) -> None:
    if not torch.isfinite(part).all():
        raise ValueError(f"decoder.{name}: got NaN or infinity, expected finite numbers; check the checkpoint")
