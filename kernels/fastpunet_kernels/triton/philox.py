# mypy: allow-untyped-defs, allow-incomplete-defs
"""Counter-based standard normals: the Triton form of `reference.philox_normal`, and its kernel."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256


@triton.jit
def philox_words(seed, image, hypothesis, block):
    """The four uint32 words of Philox4x32-10 for integers image (64 bits), hypothesis and block of one common shape."""
    c2, c3 = image.to(tl.uint32), (image >> 32).to(tl.uint32)
    return tl.philox(seed, hypothesis.to(tl.uint32), block.to(tl.uint32), c2, c3)


@triton.jit
def standard_normal(seed, image, hypothesis, dim):
    """Normal number `dim` (int32) of `hypothesis` of image id `image` (both int64): float32, element by element.

    The three broadcast against one another; seed is a scalar. Four neighbouring dims share their words, and Box-Muller
    makes two normals of each pair of words.
    """
    hypothesis, image = tl.broadcast(hypothesis, image)
    hypothesis, dim = tl.broadcast(hypothesis, dim)
    image, dim = tl.broadcast(image, dim)
    w0, w1, w2, w3 = philox_words(seed, image, hypothesis, dim // 4)
    first_pair = dim % 4 < 2
    u0 = tl.where(first_pair, w0, w2).to(tl.float32) * 2.0**-32 + 2.0**-33
    u1 = tl.where(first_pair, w1, w3).to(tl.float32) * 2.0**-32 + 2.0**-33
    angle = 6.283185307179586 * u1
    return tl.sqrt_rn(-2.0 * tl.log(u0)) * tl.where(dim % 2 == 0, tl.cos(angle), tl.sin(angle))


@triton.jit
def four_normals(seed, image, hypothesis, block):
    """Normals 4 block .. 4 block + 3 of `hypothesis` of image id `image`: four float32.

    All arguments are int64 of one common shape.
    """
    w0, w1, w2, w3 = philox_words(seed, image, hypothesis, block)
    n0, n1 = box_muller(w0, w1)
    n2, n3 = box_muller(w2, w3)
    return n0, n1, n2, n3


@triton.jit
def box_muller(first, second):
    """Two words uint32 to two normals float32."""
    u0, u1 = first.to(tl.float32) * 2.0**-32 + 2.0**-33, second.to(tl.float32) * 2.0**-32 + 2.0**-33
    radius, angle = tl.sqrt_rn(-2.0 * tl.log(u0)), 6.283185307179586 * u1
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit(do_not_specialize=["seed", "first", "n", "count"], do_not_specialize_on_alignment=["ids_ptr"])
def philox_normal_kernel(
    out_ptr, ids_ptr, seed: tl.int64, first: tl.int64, n, count: tl.int64, DIM: tl.constexpr, BLOCK: tl.constexpr
):
    """out (B, n, DIM) float32, `count` elements in all; ids (B,) int64. A program fills BLOCK elements."""
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < count
    row = index // DIM
    image = tl.load(ids_ptr + row // n, mask=inside, other=0)
    normal = standard_normal(seed, image, first + row % n, (index % DIM).to(tl.int32))
    tl.store(out_ptr + index, normal, mask=inside)


def launch_philox_normal(seed: int, ids: Tensor, first: int, n: int, dim: int) -> Tensor:
    """Standard normals float32 (B, n, dim) on the device of `ids`, int64 (B,); see `reference.philox_normal`."""
    out = torch.empty((ids.numel(), n, dim), dtype=torch.float32, device=ids.device)
    grid = (triton.cdiv(out.numel(), BLOCK),)
    with torch.cuda.device_of(out):
        philox_normal_kernel[grid](out, ids.contiguous(), seed, first, n, out.numel(), DIM=dim, BLOCK=BLOCK)
    return out
