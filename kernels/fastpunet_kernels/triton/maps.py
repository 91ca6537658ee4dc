# mypy: allow-untyped-defs, allow-incomplete-defs
"""Latent maps in the first layer: interpolated to a program's pixels for each hypothesis, and multiplied by weights.

A pixel's value is a mean of the cells at the corners around it, the same corners with the same shares for all
hypotheses. So the host computes both once for all pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from fastpunet_kernels.problem import Maps
from fastpunet_kernels.triton.tiling import Tiling, most_registers


@triton.jit
def load_corners(cell_ptr, share_ptr, pixel, pixels, CORNERS: tl.constexpr):
    """The (cell, share) of each corner for the pixels (PIXELS, 1)."""
    corners = ()
    for _ in tl.static_range(CORNERS):
        cell = tl.load(cell_ptr + pixel, mask=pixel < pixels, other=0)
        share = tl.load(share_ptr + pixel, mask=pixel < pixels, other=0.0)
        corners += ((cell, share),)  # type: ignore[assignment]
        cell_ptr += pixels  # corner * pixels could overflow
        share_ptr += pixels
    return corners


@triton.jit
def of_maps(corners, values_ptr, weight_ptr, cells, MAPS: tl.constexpr, TILE_WIDTH: tl.constexpr):
    """What MAPS maps at values_ptr, float32 (MAPS, cells), add to the first layer: (PIXELS, TILE_WIDTH)."""
    PIXELS: tl.constexpr = corners[0][0].shape[0]
    total = tl.zeros([PIXELS, TILE_WIDTH], tl.float32)
    for channel in tl.static_range(MAPS):
        value = tl.zeros([PIXELS, 1], tl.float32)
        for corner in tl.static_range(len(corners)):
            value += corners[corner][1] * tl.load(values_ptr + corners[corner][0])
        weight = tl.load(weight_ptr + channel * TILE_WIDTH + tl.arange(0, TILE_WIDTH)[None, :])
        total += value * weight
        values_ptr += cells
    return total


def corners(size: Sequence[int], grid: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Cells int32 (corners, P) and shares float32 (corners, P) that interpolate a grid to the P pixels of a size.

    Linearly and with aligned corners: the first and the last cells of an axis lie on its first and last pixels.
    """
    found_cells = torch.zeros((1, 1), dtype=torch.int64, device=device)
    found_shares = torch.ones((1, 1), dtype=torch.float64, device=device)
    for length, count in zip(size, grid, strict=True):
        at = torch.arange(length, dtype=torch.float64, device=device) * (count - 1) / max(1, length - 1)
        before = at.long()  # the last cell for the last pixel, which no other cell may make NaN
        sides = torch.stack([before, (before + 1).clamp(max=count - 1)])
        shares = torch.stack([1 - (at - before), at - before])
        found_cells = _outer(found_cells * count, sides, torch.add)
        found_shares = _outer(found_shares, shares, torch.mul)
    return found_cells.int(), found_shares.float()


def _outer(a: Tensor, b: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`combine` of every corner and pixel of a (corners, pixels) with every one of b, an axis more."""
    return combine(a[:, None, :, None], b[None, :, None, :]).flatten(2).flatten(0, 1)


def tiling(without: Tiling) -> Tiling:
    """How the decoder divides its work: with fewer pixels than threads, unless these are a single warp.

    Then the compiler loads cells where they are needed, in several threads, and threads exchange nothing.
    """
    pixels = max(32, min(without.pixels, 16 * without.warps))
    return without._replace(pixels=pixels, registers=most_registers(without.warps))


def constants(maps: Maps | None) -> dict[str, int]:
    """The compile-time arguments for maps."""
    return {"MAPS": maps.values.shape[2], "CORNERS": 1 << len(maps.size)} if maps else {"MAPS": 0, "CORNERS": 0}


def arguments(maps: Maps, tile_width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values (B, n, maps, cells), weights (maps, tile_width) padded with zeros, and `corners`, for the kernel."""
    values, weight, size = maps
    padded = F.pad(weight.T, (0, tile_width - weight.shape[0])).contiguous()
    return values.flatten(3).contiguous(), padded, *corners(size, values.shape[3:], values.device)
