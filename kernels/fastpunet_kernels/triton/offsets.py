# mypy: allow-untyped-defs, allow-incomplete-defs
"""What latents add to f_comb's first layer, Wz z: drawn, scaled and multiplied once for all pixels."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastpunet_kernels.problem import Decoder, Gaussian
from fastpunet_kernels.triton.philox import standard_normal
from fastpunet_kernels.triton.tiling import padded

ROWS = 16  # hypotheses of a program: the fewest rows that tl.dot takes


# No reason to compile the kernel anew.
SIZES = ["seed", "first", "n", "z_weight_unit", "z_weight_dim", "latent", "width"]
ALIGNMENTS = ["z_weight_ptr", "z_ptr", "mu_ptr", "sigma_ptr", "ids_ptr"]


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=ALIGNMENTS)
def offsets_kernel(
    out_ptr,
    z_weight_ptr,
    z_ptr,
    mu_ptr,
    sigma_ptr,
    ids_ptr,
    seed: tl.int64,
    first: tl.int64,
    n,
    z_weight_unit: tl.int64,
    z_weight_dim: tl.int64,
    latent,
    width,
    TILE_LATENT: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
):
    """out (B, n rounded up to ROWS, TILE_WIDTH), of which `width` columns are not 0, from `latent` dimensions of z.

    It draws z itself if z_ptr is None.
    """
    blocks = tl.cdiv(n, ROWS)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    row = tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)[:, None]
    unit = tl.arange(0, TILE_WIDTH)[None, :]
    dim = tl.arange(0, TILE_LATENT)
    z_weight = tl.load(
        z_weight_ptr + unit * z_weight_unit + dim[:, None] * z_weight_dim,
        mask=(dim < latent)[:, None] & (unit < width),
        other=0.0,
    )  # (TILE_LATENT, TILE_WIDTH)
    if z_ptr is None:
        mu = tl.load(mu_ptr + image * latent + dim, mask=dim < latent, other=0.0)[None, :]
        sigma = tl.load(sigma_ptr + image * latent + dim, mask=dim < latent, other=0.0)[None, :]
        z = mu + sigma * standard_normal(seed, tl.load(ids_ptr + image), first + row.to(tl.int64), dim[None, :])
    else:
        z_place = z_ptr + (image * n + row) * latent + dim[None, :]
        z = tl.load(z_place, mask=(row < n) & (dim < latent)[None, :], other=0.0)  # (ROWS, TILE_LATENT)
    offsets = tl.dot(z, z_weight, input_precision="ieee")
    tl.store(out_ptr + (image * blocks * ROWS + row) * TILE_WIDTH + unit, offsets)


def constants(tile_width: int, latent: int) -> dict[str, Any]:
    """The compile-time arguments of `offsets_kernel`."""
    return {"TILE_LATENT": padded(latent), "TILE_WIDTH": tile_width, "ROWS": ROWS}


def launch_offsets(decoder: Decoder, latents: Tensor | Gaussian, images: int, n: int, tile_width: int) -> Tensor:
    """Wz z float32 (B, n rounded up to ROWS, tile_width), of z float32 (B, n, latent_dim) or of a recipe for z."""
    width, latent = decoder.z_weight.shape
    blocks = triton.cdiv(n, ROWS)
    out = torch.empty((images, blocks * ROWS, tile_width), dtype=torch.float32, device=decoder.z_weight.device)
    given: tuple[Any, ...]
    if isinstance(latents, Gaussian):
        moments = latents.mu.contiguous(), latents.sigma.contiguous(), latents.ids.contiguous()
        given = (None, *moments, latents.seed, latents.first)
    else:
        given = (latents.contiguous(), None, None, None, 0, 0)
    with torch.cuda.device_of(out):
        sizes = (n, *decoder.z_weight.stride(), latent, width)
        offsets_kernel[(images * blocks,)](out, decoder.z_weight, *given, *sizes, **constants(tile_width, latent))
    return out
