"""Pooling that a program can hold for images of any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class WholeWindows(nn.Module):
    """Average pooling with ceil_mode, without a look at the size.

    A window that reaches beyond the image takes the mean of what is inside. Here zeros continue the image, so that all
    windows are whole, and the mean is divided by the share of the window that is inside.
    """

    def __init__(self, sides: Sequence[int]) -> None:
        super().__init__()
        self.sides = tuple(sides)

    def forward(self, x: Tensor) -> Tensor:
        inside = x.new_ones(1, 1, *x.shape[2:])
        return self._pooled(x) / self._pooled(inside)

    def _pooled(self, x: Tensor) -> Tensor:
        missing = [(side - n % side) % side for n, side in zip(x.shape[2:], self.sides, strict=True)]
        padded = F.pad(x, [amount for last in reversed(missing) for amount in (0, last)])
        return (F.avg_pool2d if x.ndim == 4 else F.avg_pool3d)(padded, self.sides)


def use_whole_windows(module: nn.Module) -> None:
    """Put `WholeWindows` in the place of every average pooling with ceil_mode inside a module."""
    for name, child in module.named_children():
        sides = _sides(child)
        if sides is None:
            use_whole_windows(child)
        else:
            setattr(module, name, WholeWindows(sides))


def _sides(pool: nn.Module) -> tuple[int, ...] | None:
    """The sides of the windows that are averaged; None of any module but a pooling whose windows do not overlap."""
    if not isinstance(pool, nn.AvgPool2d | nn.AvgPool3d) or not pool.ceil_mode:
        return None
    axes = 2 if isinstance(pool, nn.AvgPool2d) else 3
    sides, strides, padding = (
        value if isinstance(value, tuple) else (value,) * axes
        for value in (pool.kernel_size, pool.stride, pool.padding)
    )
    return tuple(sides) if sides == strides and not any(padding) else None
