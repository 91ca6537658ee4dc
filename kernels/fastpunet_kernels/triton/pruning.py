# mypy: allow-untyped-defs, allow-incomplete-defs
"""Pruned decoding on a GPU: labels that bounds prove for a whole group of hypotheses, and the rest decoded.

fastpunet_kernels/pruning.py explains the idea. There, bounds need no margin, since a CPU rounds operation by operation.
Tensor cores do not: how they round a sum is not documented, and depends on its terms. But all their errors are small
shares of the sum of the terms' magnitudes, which the bounds compute on the way, so these are widened by `margin` of it.
Everything else (offsets, ReLU, biases, the rounding of operands) is monotone, rounding included, and needs none.

For weights W = P - N, with P and N at least 0, and activations between l and u, both at least 0, the products W x lie
between P l - N u and P u - N l, and the magnitudes add up to at most P u + N u.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastpunet_kernels import environment
from fastpunet_kernels.problem import Decoder, Gaussian
from fastpunet_kernels.triton import decode
from fastpunet_kernels.triton.decode import group_logits, in_order_of_pixels, pixel_of_row
from fastpunet_kernels.triton.groups import FEWEST, Groups, similar_groups
from fastpunet_kernels.triton.layers import anchored, biased, linear, load_layers, rectified
from fastpunet_kernels.triton.offsets import launch_offsets
from fastpunet_kernels.triton.outputs import packed
from fastpunet_kernels.triton.tiling import Tiling, find_tiling, most_registers

SIZES = ["n", "pixels", "groups", "members"]
STRIDES = ["base_image", "base_pixel", "base_unit", "out_image", "out_hypothesis"]
GROUPS = 16  # that a program bounds, for the same pixels
TAKERS = 8  # programs that share the open pixels of a group
SMALLEST = tl.constexpr(2.0**-100)  # more than is lost where numbers too small for float32 become 0
PROVED, OPEN = tl.constexpr(1), tl.constexpr(2)  # labels for a group: of the foreground, unknown; 0 is the background


@triton.jit
def bounds(
    lower,
    upper,
    kept_positive,
    kept_negative,
    positive_ptrs,
    negative_ptrs,
    bias_ptrs,
    LAYER: tl.constexpr,
    WIDTHS: tl.constexpr,
    OUTS: tl.constexpr,
    PRECISION: tl.constexpr,
    CAPABILITY: tl.constexpr,
    MARGIN: tl.constexpr,
):
    """Bounds (PIXELS, OUTS) of a layer's products with inputs between two operands, and the bias to add to both."""
    least, bias = linear(lower, kept_positive, positive_ptrs, bias_ptrs, LAYER, WIDTHS, OUTS, PRECISION, CAPABILITY)
    most, _ = linear(upper, kept_positive, positive_ptrs, bias_ptrs, LAYER, WIDTHS, OUTS, PRECISION, CAPABILITY)
    least_taken, _ = linear(lower, kept_negative, negative_ptrs, bias_ptrs, LAYER, WIDTHS, OUTS, PRECISION, CAPABILITY)
    most_taken, _ = linear(upper, kept_negative, negative_ptrs, bias_ptrs, LAYER, WIDTHS, OUTS, PRECISION, CAPABILITY)
    error = (most + most_taken) * 2.0 * (MARGIN / 2) + SMALLEST  # infinite before the decoder's sums can be
    return least - most_taken - error, most - least_taken + error, bias


@triton.jit(do_not_specialize=SIZES + STRIDES, do_not_specialize_on_alignment=["out_ptr", "base_ptr"])
def bounds_kernel(
    out_ptr,
    open_ptr,
    count_ptr,
    order_ptr,
    base_ptr,
    boxes_ptr,
    positive_ptrs,
    negative_ptrs,
    bias_ptrs,
    n,
    pixels,
    groups,
    members,
    base_image: tl.int64,
    base_pixel: tl.int64,
    base_unit: tl.int64,
    out_image: tl.int64,
    out_hypothesis: tl.int64,
    OUTPUT: tl.constexpr,
    PRECISION: tl.constexpr,
    CAPABILITY: tl.constexpr,
    WIDTHS: tl.constexpr,
    KEEP: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    PIXELS: tl.constexpr,
    WARPS: tl.constexpr,
    GROUPS: tl.constexpr,
    MARGIN: tl.constexpr,
):
    """Labels of PIXELS pixels of an image for GROUPS groups, one after the other, of a binary model.

    What bounds prove goes to out (B, n, ...), as bits or labels; what they do not prove is 0 there. These pixels are
    appended to open (B, groups, pixels), and counted in count (B, groups).
    """
    LAST: tl.constexpr = len(positive_ptrs) - 1
    tiles, runs = tl.cdiv(pixels, PIXELS), tl.cdiv(groups, GROUPS)
    program = tl.program_id(0)
    image = (program // tiles // runs).to(tl.int64)
    start = program // tiles % runs * GROUPS
    first = program % tiles * PIXELS
    row_pixel = (first + pixel_of_row(PIXELS, WARPS))[:, None]
    pixel = first + tl.arange(0, PIXELS)
    word = first // 32 + tl.arange(0, PIXELS // 32)[:, None]
    unit = tl.arange(0, TILE_WIDTH)[None, :]

    place = base_ptr + image * base_image + row_pixel * base_pixel + unit * base_unit
    base = tl.load(place, mask=(row_pixel < pixels) & (unit < WIDTHS[0]), other=0.0)
    base = anchored(base, PRECISION)
    kept_positive = load_layers(positive_ptrs, bias_ptrs, WIDTHS, TILE_WIDTH, COLUMNS, PRECISION, CAPABILITY, KEEP)
    kept_negative = load_layers(negative_ptrs, bias_ptrs, WIDTHS, TILE_WIDTH, COLUMNS, PRECISION, CAPABILITY, KEEP)
    tl.debug_barrier()  # as in `decode_kernel`
    for group in range(start, tl.minimum(start + GROUPS, groups)):
        box = boxes_ptr + (image * groups + group) * 2 * TILE_WIDTH + unit
        lower = rectified(base + tl.load(box), PRECISION, CAPABILITY)
        upper = rectified(base + tl.load(box + TILE_WIDTH), PRECISION, CAPABILITY)
        for layer in tl.static_range(LAST):
            least, most, bias = bounds(
                lower,
                upper,
                kept_positive,
                kept_negative,
                positive_ptrs,
                negative_ptrs,
                bias_ptrs,
                layer,
                WIDTHS,
                TILE_WIDTH,
                PRECISION,
                CAPABILITY,
                MARGIN,
            )
            lower = biased(least, bias, PRECISION, CAPABILITY)
            upper = biased(most, bias, PRECISION, CAPABILITY)
        least, most, bias = bounds(
            lower,
            upper,
            kept_positive,
            kept_negative,
            positive_ptrs,
            negative_ptrs,
            bias_ptrs,
            LAST,
            WIDTHS,
            COLUMNS,
            PRECISION,
            CAPABILITY,
            MARGIN,
        )
        known = tl.where(least + bias > 0, PROVED, tl.where(most + bias <= 0, 0, OPEN))  # NaN leaves it open
        known = tl.max(in_order_of_pixels(known, WARPS), axis=1)  # of columns that are all the same
        known = tl.where(pixel < pixels, known, 0)

        undecided = (known == OPEN).to(tl.int32)
        counted = tl.atomic_add(count_ptr + image * groups + group, tl.sum(undecided), sem="relaxed")
        listed = open_ptr + (image * groups + group) * pixels + counted + tl.cumsum(undecided) - undecided
        tl.store(listed, pixel, mask=known == OPEN)

        proved = (known == PROVED).to(tl.int32)[:, None]
        words = packed(proved)
        for member in range(0, members, COLUMNS):
            places = (image * groups + group) * members + member + tl.arange(0, COLUMNS)[None, :]
            hypothesis = tl.load(order_ptr + places)
            rows = out_ptr + image * out_image + hypothesis * out_hypothesis
            if OUTPUT == "bits":
                tl.store(rows + word, words, mask=(word * 32 < pixels) & (hypothesis < n))
            else:
                real = (pixel < pixels)[:, None] & (hypothesis < n)
                tl.store(rows + pixel[:, None], proved.to(tl.uint8), mask=real)


@triton.jit(do_not_specialize=SIZES + STRIDES, do_not_specialize_on_alignment=["out_ptr", "base_ptr"])
def open_kernel(
    out_ptr,
    open_ptr,
    count_ptr,
    order_ptr,
    base_ptr,
    offsets_ptr,
    weight_ptrs,
    bias_ptrs,
    n,
    pixels,
    groups,
    members,
    base_image: tl.int64,
    base_pixel: tl.int64,
    base_unit: tl.int64,
    out_image: tl.int64,
    out_hypothesis: tl.int64,
    OUTPUT: tl.constexpr,
    PRECISION: tl.constexpr,
    CAPABILITY: tl.constexpr,
    WIDTHS: tl.constexpr,
    KEEP: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    PIXELS: tl.constexpr,
    UNROLL: tl.constexpr,
    TAKERS: tl.constexpr,
):
    """The open pixels of a group, decoded PIXELS at a time for all of its hypotheses; TAKERS programs share them."""
    program = tl.program_id(0)
    group = (program // TAKERS).to(tl.int64)  # of all images
    image = group // groups
    count = tl.load(count_ptr + group)
    row = tl.arange(0, PIXELS)
    unit = tl.arange(0, TILE_WIDTH)[None, :]
    kept = load_layers(weight_ptrs, bias_ptrs, WIDTHS, TILE_WIDTH, COLUMNS, PRECISION, CAPABILITY, KEEP)
    tl.debug_barrier()  # as in `decode_kernel`
    for first in range(program % TAKERS * PIXELS, count, TAKERS * PIXELS):
        listed, real = open_ptr + group * pixels + first + row, first + row < count
        pixel = tl.load(listed, mask=real, other=0)[:, None]
        place = base_ptr + image * base_image + pixel * base_pixel + unit * base_unit
        base = anchored(tl.load(place, mask=real[:, None] & (unit < WIDTHS[0]), other=0.0), PRECISION)
        for member in range(0, members, COLUMNS):
            places = group * members + member
            logits = group_logits(
                base,
                offsets_ptr,
                places,
                (),
                kept,
                weight_ptrs,
                bias_ptrs,
                0,
                WIDTHS,
                TILE_WIDTH,
                COLUMNS,
                PRECISION,
                CAPABILITY,
                UNROLL,
            )
            hypothesis = tl.load(order_ptr + places + tl.arange(0, COLUMNS)[None, :])
            rows = out_ptr + image * out_image + hypothesis * out_hypothesis
            pixel = tl.load(listed, mask=real, other=0)[:, None]  # again, for few registers are free meanwhile
            marked = real[:, None] & (hypothesis < n) & (logits > 0)
            if OUTPUT == "bits":
                tl.atomic_or(rows + pixel // 32, 1 << pixel % 32, mask=marked, sem="relaxed")
            else:
                tl.store(rows + pixel, 1, mask=marked)


def margin(width: int) -> float:
    """The share of the sum of all magnitudes by which bounds are widened, for layers of so many inputs.

    Tensor cores add up to 3 `width` products, with an error of at most 2^-23 of that sum for each. "3xtf32" leaves out
    the product of the rests and cuts a rest off, with an error of at most 2^-20. `lost` changes
    weights by less than that. All of this is covered twice: for the products of the decoder, and for those that the
    bounds are made of, which may be summed in other steps.
    """
    return (width + 8) * 2.0**-20


def bounds_constants(
    widths: tuple[int, ...], output: str, precision: str, capability: int, tiling: Tiling
) -> dict[str, Any]:
    """The compile-time arguments of `bounds_kernel`, as `decode.constants` has those of the decoder."""
    chosen = decode.constants(widths, output, precision, capability, tiling, sets=2)
    del chosen["ROWS"], chosen["UNROLL"]
    return chosen | {"GROUPS": GROUPS, "MARGIN": margin(chosen["TILE_WIDTH"])}


def bounds_tiling(tiling: Tiling) -> Tiling:
    """How `bounds_kernel` divides its work where the decoder takes `tiling`: it holds twice as much in registers."""
    pixels = max(32, tiling.pixels // 2)
    warps = min(tiling.warps, pixels // 16)
    return tiling._replace(pixels=pixels, warps=warps, registers=most_registers(warps))


def open_constants(
    widths: tuple[int, ...], output: str, precision: str, capability: int, tiling: Tiling
) -> dict[str, Any]:
    """The compile-time arguments of `open_kernel`."""
    chosen = decode.constants(widths, output, precision, capability, tiling)
    del chosen["ROWS"], chosen["WARPS"]
    return chosen | {"TAKERS": TAKERS}


def prunes(output: str, classes: int, n: int) -> bool:
    """Whether a GPU prunes such a problem: only if FASTPUNET_PRUNING says so, for it has not been timed there."""
    possible = output in ("labels", "bits") and classes == 1 and n >= 2 * FEWEST
    return possible and environment.prunes_on_gpu()


class Bounded(NamedTuple):
    """What bounds leave open: `counts` pixels for each group, which are the first ones in `listed`."""

    groups: Groups
    counts: Tensor  # int32 (B, G)
    listed: Tensor  # int32 (B, G, P)


def launch_pruned(
    base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, out: Tensor, output: str, precision: str
) -> Tensor:
    """What `decode.launch_decode` does to "labels" or "bits" of a binary model, bit for bit."""
    with torch.cuda.device_of(base):
        launch_open(
            base, decoder, launch_bounds(base, decoder, latents, out, output, precision), out, output, precision
        )
    return out


def launch_bounds(
    base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, out: Tensor, output: str, precision: str
) -> Bounded:
    """Write all that bounds prove to `out`, and 0 for the rest, which is returned."""
    (images, pixels, _), n = base.shape, out.shape[1]
    problem, tiling = _problem(base, decoder, output, precision)
    chosen = decode.constants(*problem, tiling)
    groups = similar_groups(launch_offsets(decoder, latents, images, n, chosen["TILE_WIDTH"])[:, :n], chosen["COLUMNS"])
    count = groups.order.shape[1]
    bounded = Bounded(
        groups,
        base.new_zeros((images, count), dtype=torch.int32),
        base.new_empty((images, count, pixels), dtype=torch.int32),
    )
    positive, negative = (
        tuple((sign * weight).clamp(min=0).contiguous() for weight in decoder.weights) for sign in (1, -1)
    )

    def launch(tiling: Tiling) -> None:
        bounds_kernel[(images * triton.cdiv(count, GROUPS) * triton.cdiv(pixels, tiling.pixels),)](
            *(out, bounded.listed, bounded.counts, groups.order, base, groups.boxes, positive, negative),
            tuple(bias.contiguous() for bias in decoder.biases),
            *_sizes(base, groups, out),
            **bounds_constants(*problem, tiling),
            **decode.options(tiling, amd=bool(torch.version.hip)),
        )

    decode.launch_what_fits(launch, bounds_tiling(tiling))
    return bounded


def launch_open(base: Tensor, decoder: Decoder, bounded: Bounded, out: Tensor, output: str, precision: str) -> None:
    """Decode what bounds left open, and write it to `out`."""
    problem, tiling = _problem(base, decoder, output, precision)
    groups = bounded.groups

    def launch(tiling: Tiling) -> None:
        open_kernel[(bounded.counts.numel() * TAKERS,)](
            *(out, bounded.listed, bounded.counts, groups.order, base, groups.offsets),
            tuple(weight.contiguous() for weight in decoder.weights),
            tuple(bias.contiguous() for bias in decoder.biases),
            *_sizes(base, groups, out),
            **open_constants(*problem, tiling),
            **decode.options(tiling, amd=bool(torch.version.hip)),
        )

    decode.launch_what_fits(launch, tiling)


def _problem(
    base: Tensor, decoder: Decoder, output: str, precision: str
) -> tuple[tuple[tuple[int, ...], str, str, int], Tiling]:
    """What `constants` are made of, and the tiling of the decoder, whose results are to be equalled."""
    widths, capability = decode.layer_widths(base, decoder), decode.compute_capability(base.device)
    rounding = decode.products(precision, widths, capability)
    return (widths, output, rounding, capability), find_tiling(widths, output, rounding, capability, base.device)


def _sizes(base: Tensor, groups: Groups, out: Tensor) -> tuple[int, ...]:
    """SIZES and STRIDES."""
    return (out.shape[1], base.shape[1], *groups.order.shape[1:], *base.stride(), *out.stride()[:2])
