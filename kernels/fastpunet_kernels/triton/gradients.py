# mypy: allow-untyped-defs, allow-incomplete-defs
"""The gradients of f_comb's logits: every activation is computed again, in registers, and nothing is kept but sums."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastpunet_kernels.problem import Decoder, decoder_gradients
from fastpunet_kernels.triton.decode import layer_widths
from fastpunet_kernels.triton.layers import load_bias, load_weight
from fastpunet_kernels.triton.offsets import ROWS, launch_offsets
from fastpunet_kernels.triton.tiling import padded

PROGRAMS = 2048  # at most about as many, each with sums of its own over its tiles of pixels


@triton.jit
def positive_part(x):
    """max(x, 0), where NaN stays NaN as in PyTorch."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit(do_not_specialize=["n", "pixels", "span"])
def gradients_kernel(
    of_base_ptr,
    of_offset_ptr,
    of_layers_ptr,
    gradient_ptr,
    base_ptr,
    offsets_ptr,
    weight_ptrs,
    bias_ptrs,
    n,
    pixels,
    span,
    SIZE: tl.constexpr,
    WIDTHS: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """From gradient (B, n, K, P): of_base (B, P, h), and each program's sums of_offset (programs, n, TILE_WIDTH), which
    is zero before, and of_layers (programs, SIZE), every layer's weight and then its bias.

    A program owns `span` tiles of PIXELS pixels of one image, and takes all hypotheses of one tile after another.
    WIDTHS are the units of the first layer, of the hidden layers, and the classes.
    """
    LAST: tl.constexpr = len(weight_ptrs) - 1
    CLASSES: tl.constexpr = WIDTHS[LAST + 1]
    tiles = tl.cdiv(pixels, PIXELS)
    parts = tl.cdiv(tiles, span)
    program = tl.program_id(0).to(tl.int64)
    image = program // parts
    start = (program % parts * span).to(tl.int32)
    unit = tl.arange(0, TILE_WIDTH)[None, :]
    column = tl.arange(0, COLUMNS)[None, :]
    offsets_ptr += image * tl.cdiv(n, ROWS) * ROWS * TILE_WIDTH
    of_offset_ptr += program * n * TILE_WIDTH
    of_layers_ptr += program * SIZE

    weight_sums = (tl.zeros([COLUMNS, TILE_WIDTH], tl.float32),)  # the last layer's first
    bias_sums = (tl.zeros([1, COLUMNS], tl.float64),)  # terms of either sign that add up to little
    for _ in tl.static_range(LAST):
        weight_sums += (tl.zeros([TILE_WIDTH, TILE_WIDTH], tl.float32),)  # type: ignore[assignment]
        bias_sums += (tl.zeros([1, TILE_WIDTH], tl.float64),)  # type: ignore[assignment]

    for tile in range(start, tl.minimum(start + span, tiles)):
        pixel = (tile * PIXELS + tl.arange(0, PIXELS))[:, None]
        place = (image * pixels + pixel) * WIDTHS[0] + unit
        inside = (pixel < pixels) & (unit < WIDTHS[0])
        base = tl.load(base_ptr + place, mask=inside, other=0.0)
        of_base = tl.zeros([PIXELS, TILE_WIDTH], tl.float32)
        for hypothesis in range(n):
            offset = tl.load(offsets_ptr + hypothesis * TILE_WIDTH + unit)
            acts = (positive_part(base + offset),)
            for layer in tl.static_range(LAST):
                weight = load_weight(weight_ptrs, 0, layer, WIDTHS, TILE_WIDTH, TILE_WIDTH, "ieee", 0)[0]
                bias = load_bias(bias_ptrs, layer, WIDTHS, TILE_WIDTH)
                total = tl.dot(acts[layer], weight, input_precision="ieee") + bias
                acts += (positive_part(total),)  # type: ignore[assignment]
            given = gradient_ptr + ((image * n + hypothesis) * CLASSES + column) * pixels + pixel
            back = tl.load(given, mask=(pixel < pixels) & (column < CLASSES), other=0.0)
            weights_then = ()
            biases_then = ()
            for step in tl.static_range(LAST + 1):
                act = acts[LAST - step]
                products = tl.dot(tl.trans(back), act, input_precision="ieee")
                weights_then += (weight_sums[step] + products,)  # type: ignore[assignment]
                terms = back.to(tl.float64) if step == 0 else back  # the last layer's are exact themselves
                total = tl.sum(terms, axis=0, keep_dims=True).to(tl.float64)
                biases_then += (bias_sums[step] + total,)  # type: ignore[assignment]
                weight = load_weight(
                    weight_ptrs, 0, LAST - step, WIDTHS, TILE_WIDTH, COLUMNS if step == 0 else TILE_WIDTH, "ieee", 0
                )[0]
                back = tl.where(act > 0, tl.dot(back, tl.trans(weight), input_precision="ieee"), 0.0)
            weight_sums = weights_then  # type: ignore[assignment]
            bias_sums = biases_then  # type: ignore[assignment]
            of_base += back
            sums = of_offset_ptr + hypothesis * TILE_WIDTH + unit
            tl.store(sums, tl.load(sums) + tl.sum(back, axis=0, keep_dims=True))
        tl.store(of_base_ptr + place, of_base, mask=inside)
        tl.debug_barrier()  # the next tile reads of_offset, perhaps by other threads

    for layer in tl.static_range(LAST + 1):
        out = tl.arange(0, COLUMNS if layer == LAST else TILE_WIDTH)
        real = (out < WIDTHS[layer + 1])[:, None] & (unit < WIDTHS[layer])
        tl.store(of_layers_ptr + out[:, None] * WIDTHS[layer] + unit, weight_sums[LAST - layer], mask=real)
        of_layers_ptr += WIDTHS[layer + 1] * WIDTHS[layer]
        tl.store(of_layers_ptr + out[None, :], bias_sums[LAST - layer], mask=(out < WIDTHS[layer + 1])[None, :])
        of_layers_ptr += WIDTHS[layer + 1]


def constants(widths: tuple[int, ...]) -> dict[str, Any]:
    """The compile-time arguments of `gradients_kernel` for layers of `widths` units, the classes last.

    Tiles are so small that activations and sums fit the registers of as many threads as `options` asks for.
    """
    width, columns = padded(max(widths[:-1])), padded(widths[-1])
    return {
        "SIZE": layers_size(widths),
        "WIDTHS": widths,
        "TILE_WIDTH": width,
        "COLUMNS": columns,
        "ROWS": ROWS,
        "PIXELS": 32 if width <= 32 and columns == 16 else 16,
    }


def options(widths: tuple[int, ...]) -> dict[str, int]:
    """How to compile `gradients_kernel`."""
    return {"num_warps": 8 if max(widths[:-1]) <= 64 and widths[-1] <= 32 else 16, "num_stages": 1}


def layers_size(widths: tuple[int, ...]) -> int:
    """The number of weights and biases."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))


def launch_gradients(
    gradient: Tensor,
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
) -> list[Tensor]:
    """The gradients of base, z_weight, all weights, all biases and z, float32, from that of the logits (B, n, K, P).

    Each program's sums are added up in float64, always in the same order.
    """
    decoder = Decoder(z_weight, list(weights), list(biases))
    images, pixels, width = base.shape
    n, widths = z.shape[1], layer_widths(base, decoder)
    compile_time = constants(widths)
    tiles = triton.cdiv(pixels, compile_time["PIXELS"])
    span = max(1, images * tiles // PROGRAMS)
    programs = images * triton.cdiv(tiles, span)
    of_base = torch.empty_like(base, memory_format=torch.contiguous_format)
    of_offset = base.new_zeros((programs, n, compile_time["TILE_WIDTH"]))
    of_layers = base.new_empty((programs, layers_size(widths)))
    offsets = launch_offsets(decoder, z, images, n, compile_time["TILE_WIDTH"]) if n else of_offset
    with torch.cuda.device_of(base):
        gradients_kernel[(programs,)](
            of_base,
            of_offset,
            of_layers,
            gradient.contiguous(),
            base.contiguous(),
            offsets,
            tuple(weight.contiguous() for weight in weights),
            tuple(bias.contiguous() for bias in biases),
            n,
            pixels,
            span,
            **compile_time,
            **options(widths),
        )
    of_z_weight_z = of_offset.unflatten(0, (images, -1)).sum(1, dtype=torch.float64)[:, :, :width]
    return [of_base, *decoder_gradients(of_z_weight_z, of_layers.sum(0, dtype=torch.float64), decoder, z)]
