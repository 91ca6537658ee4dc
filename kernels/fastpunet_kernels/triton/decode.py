# mypy: allow-untyped-defs, allow-incomplete-defs
"""f_comb for many latents at once: the offsets of all hypotheses, then every 1x1 layer and the output in one kernel."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.errors import OutOfResources
from triton.testing import do_bench

from fastpunet_kernels.problem import Decoder, Gaussian, Maps
from fastpunet_kernels.triton import maps as latent_maps
from fastpunet_kernels.triton.layers import anchored, biased, linear, load_layers, rectified
from fastpunet_kernels.triton.maps import load_corners, of_maps
from fastpunet_kernels.triton.offsets import ROWS, launch_offsets
from fastpunet_kernels.triton.outputs import add_to_sums, no_sums, store_output, store_sums
from fastpunet_kernels.triton.sums import Outs, sum_hypotheses
from fastpunet_kernels.triton.tiling import Tiling, candidates, find_tiling, padded, remember

# No reason to compile the kernel anew. Members of tuples would be one for Triton, so strides are arguments themselves.
STRIDES = ["base_image", "base_pixel", "base_unit", "out_image", "out_hypothesis", "out_class"]
SIZES = ["n", "pixels", "run", "cells", *STRIDES]
THREE_PRODUCTS = 64  # units of the widest layer for which tensor cores compute "ieee", as three products of TF32


@triton.jit
def pixel_of_row(PIXELS: tl.constexpr, WARPS: tl.constexpr):
    """The pixel that each row of an accumulator shall hold: those of a warp, 16 of every 16 WARPS, are neighbours."""
    row = tl.arange(0, PIXELS)
    return row // 16 % WARPS * (PIXELS // WARPS) + row // (16 * WARPS) * 16 + row % 16


@triton.jit
def in_order_of_pixels(x, WARPS: tl.constexpr):
    """x (PIXELS, COLUMNS), whose rows are in the order of `pixel_of_row`, in that of the pixels."""
    PIXELS: tl.constexpr = x.shape[0]
    COLUMNS: tl.constexpr = x.shape[1]
    blocks = tl.reshape(x, [PIXELS // (16 * WARPS), WARPS, 16, COLUMNS])
    return tl.reshape(tl.permute(blocks, [1, 0, 2, 3]), [PIXELS, COLUMNS])


@triton.jit
def group_logits(
    base,
    offsets_ptr,
    first,
    maps,
    kept,
    weight_ptrs,
    bias_ptrs,
    MAPS: tl.constexpr,
    WIDTHS: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
    CAPABILITY: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Logits (PIXELS, COLUMNS) of pixels `base` (PIXELS, TILE_WIDTH) for the hypotheses from `first` on.

    The columns are as many hypotheses of a binary model, or the classes of one hypothesis. With MAPS latent maps,
    `maps` has their corners, values, weights, cells and the last hypothesis.
    """
    PIXELS: tl.constexpr = base.shape[0]
    LAST: tl.constexpr = len(weight_ptrs) - 1
    BINARY: tl.constexpr = WIDTHS[LAST + 1] == 1
    unit = tl.arange(0, TILE_WIDTH)[None, :]
    column = tl.arange(0, COLUMNS)[None, :]
    logits = tl.zeros([PIXELS, COLUMNS], tl.float32)
    place = offsets_ptr + first * TILE_WIDTH
    for member in tl.range(COLUMNS if BINARY else 1, loop_unroll_factor=UNROLL):
        offset = tl.load(place + unit)
        place += TILE_WIDTH
        if MAPS > 0:
            corners, values_ptr, weight_ptr, cells, last = maps
            values_ptr += tl.minimum(first + member, last).to(tl.int64) * MAPS * cells
            offset += of_maps(corners, values_ptr, weight_ptr, cells, MAPS, TILE_WIDTH)
        hidden = rectified(base + offset, PRECISION, CAPABILITY)
        for layer in tl.static_range(LAST):
            total, bias = linear(hidden, kept, weight_ptrs, bias_ptrs, layer, WIDTHS, TILE_WIDTH, PRECISION, CAPABILITY)
            hidden = biased(total, bias, PRECISION, CAPABILITY)
        total, bias = linear(hidden, kept, weight_ptrs, bias_ptrs, LAST, WIDTHS, COLUMNS, PRECISION, CAPABILITY)
        logits = tl.where(column == member, total + bias, logits) if BINARY else total + bias
    return logits


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=["out_ptr", "base_ptr"])
def decode_kernel(
    out_ptr,
    entropy_ptr,
    volume_ptr,
    base_ptr,
    offsets_ptr,
    weight_ptrs,
    bias_ptrs,
    map_ptrs,
    n,
    pixels,
    run,
    cells,
    base_image: tl.int64,
    base_pixel: tl.int64,
    base_unit: tl.int64,
    out_image: tl.int64,
    out_hypothesis: tl.int64,
    out_class: tl.int64,
    OUTPUT: tl.constexpr,
    PRECISION: tl.constexpr,
    CAPABILITY: tl.constexpr,
    MAPS: tl.constexpr,
    CORNERS: tl.constexpr,
    WIDTHS: tl.constexpr,
    KEEP: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    PIXELS: tl.constexpr,
    WARPS: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """The kernel of the launchers; WIDTHS are the units of the first layer, of the hidden layers, and the classes.

    A program owns PIXELS pixels of one image and takes `run` hypotheses, a multiple of ROWS, through all layers, in
    registers. MAPS latent maps of `cells` cells add to the first layer, of which a pixel takes CORNERS. The COLUMNS of
    the last accumulator are as many hypotheses of a binary model, or the classes of one. Weights stay on the chip if
    KEEP. OUTPUT "sums" goes to out (B, runs, K, P), entropy (B, runs, P) and volume (B, n, K); any other to out
    (B, n, ...).
    """
    LAST: tl.constexpr = len(weight_ptrs) - 1
    CLASSES: tl.constexpr = WIDTHS[LAST + 1]
    GROUP: tl.constexpr = COLUMNS if CLASSES == 1 else 1
    tiles, runs = tl.cdiv(pixels, PIXELS), tl.cdiv(n, run)
    program = tl.program_id(0)
    image = (program // tiles // runs).to(tl.int64)
    start = program // tiles % runs * run
    stop = tl.minimum(start + run, n)
    first = program % tiles * PIXELS
    pixel = (first + pixel_of_row(PIXELS, WARPS))[:, None]
    unit = tl.arange(0, TILE_WIDTH)[None, :]

    place = base_ptr + image * base_image + pixel * base_pixel + unit * base_unit
    base = tl.load(place, mask=(pixel < pixels) & (unit < WIDTHS[0]), other=0.0)  # (PIXELS, TILE_WIDTH)
    base = anchored(base, PRECISION)
    offsets_ptr += image * tl.cdiv(n, ROWS) * ROWS * TILE_WIDTH
    kept = load_layers(weight_ptrs, bias_ptrs, WIDTHS, TILE_WIDTH, COLUMNS, PRECISION, CAPABILITY, KEEP)
    maps = ()
    if MAPS > 0:
        values_ptr, map_weight_ptr, cell_ptr, share_ptr = map_ptrs
        corners = load_corners(cell_ptr, share_ptr, pixel, pixels, CORNERS)
        values_ptr += image * n * MAPS * cells
        maps = (corners, values_ptr, map_weight_ptr, cells, n - 1)  # type: ignore[assignment]
    if OUTPUT == "sums":
        sums = no_sums(PIXELS, COLUMNS, CLASSES)

    tl.debug_barrier()  # once, after the weights are in place; the compiler would wait for them in every iteration
    for group in range(start, stop, GROUP):
        logits = group_logits(
            base,
            offsets_ptr,
            group,
            maps,
            kept,
            weight_ptrs,
            bias_ptrs,
            MAPS,
            WIDTHS,
            TILE_WIDTH,
            COLUMNS,
            PRECISION,
            CAPABILITY,
            UNROLL,
        )
        logits = in_order_of_pixels(logits, WARPS)
        columns = stop - group if CLASSES == 1 else CLASSES
        if OUTPUT == "sums":
            volumes = volume_ptr + (image * n + group) * CLASSES
            sums = add_to_sums(sums, volumes, columns, logits, first, pixels, CLASSES, CAPABILITY)
        else:
            out = out_ptr + image * out_image + group * out_hypothesis
            stride = out_hypothesis if CLASSES == 1 else out_class
            store_output(out, stride, columns, logits, first, pixels, CLASSES, CAPABILITY, OUTPUT)
    if OUTPUT == "sums":
        planes = out_ptr + image * out_image + start // run * out_hypothesis
        entropies = entropy_ptr + (image * runs + start // run) * pixels
        store_sums(planes, out_class, entropies, sums, first, pixels, CLASSES)


def constants(
    widths: tuple[int, ...], output: str, precision: str, capability: int, tiling: Tiling, sets: int = 1
) -> dict[str, Any]:
    """The compile-time arguments of `decode_kernel` for layers of `widths` units, the classes last.

    precision is that of the products, capability is 0 for all but NVIDIA GPUs, and a kernel needs `sets` of weights.
    """
    fewest = 8 if capability else 16
    width = max(32 if precision == "tf32" else 16, padded(max(widths[:-1])))  # 16 even and 16 odd columns
    columns = max(fewest, triton.next_power_of_2(widths[-1]))
    return {
        "OUTPUT": output,
        "PRECISION": precision,
        "CAPABILITY": capability,
        "WIDTHS": widths,
        "KEEP": keeps(sets * width * (width * (len(widths) - 2) + columns), precision, capability),
        "TILE_WIDTH": width,
        "COLUMNS": columns,
        "ROWS": ROWS,
        "PIXELS": tiling.pixels,
        "WARPS": min(tiling.warps, tiling.pixels // 32),
        "UNROLL": tiling.unroll,
    }


def keeps(weights: int, precision: str, capability: int) -> bool:
    """Whether so many weights stay on the chip, beside the activations; more are read again for every hypothesis.

    Matrix units of NVIDIA GPUs take them from shared memory, others from registers. Capabilities 9 and 10 belong to
    GPUs with 227 KiB a program, the others have 99 KiB or more.
    """
    if capability == 0 or precision == "ieee":
        return weights <= 10240
    size = {"bf16": 2, "tf32": 4, "3xtf32": 8}[precision]
    return weights * size <= (160 if capability in (9, 10) else 80) * 1024


def options(tiling: Tiling, amd: bool) -> dict[str, int]:
    """How to compile `decode_kernel`. AMD's larger products would be laid out in two ways, with an exchange between."""
    special = {"matrix_instr_nonkdim": 16} if amd else {"maxnreg": tiling.registers}
    return {"num_warps": tiling.warps, "num_stages": 1} | special


def products(precision: str, widths: tuple[int, ...], capability: int) -> str:
    """The PRECISION of `decode_kernel` for a precision of the ops.

    Sums on tensor cores are rounded toward zero. The longer they are, the more is lost to float32, and a decoder of
    more units than THREE_PRODUCTS would err more than twice as much as PyTorch's.
    """
    interpreted = not isinstance(decode_kernel, triton.JITFunction)
    if interpreted and precision == "bf16":
        return "emulated bf16"
    if precision == "ieee" and max(widths[:-1]) <= THREE_PRODUCTS and (interpreted or capability >= 8):
        return "3xtf32"
    return precision


def compute_capability(device: torch.device) -> int:
    """The major one of an NVIDIA GPU; 0 for others and in Triton's interpreter."""
    plain = not isinstance(decode_kernel, triton.JITFunction) or torch.version.hip
    return 0 if plain else torch.cuda.get_device_capability(device)[0]


def launch_decode(
    base: Tensor,
    decoder: Decoder,
    latents: Tensor | Gaussian,
    out: Tensor,
    output: str,
    precision: str,
    tiling: Tiling | None = None,
    maps: Maps | None = None,
) -> Tensor:
    """Decode n latents per image, as `fastpunet_kernels.decode_samples` describes, into `out`, which is returned.

    base float32 (B, P, h); latents z float32 (B, n, latent_dim) or a `Gaussian`; out (B, n, ...) of the shape and type
    that belong to `output`, contiguous in its last dimension. All else may have any strides. tiling: None for the one
    that was found fastest, or the rule's. maps: those of z.
    """
    strides = (out.stride(0), out.stride(1), out.stride(2) if out.dim() == 4 else 0)

    def launch(tiling: Tiling) -> None:
        _launch(base, decoder, latents, out.shape[1], output, precision, tiling, (out, None, None), strides, maps)

    if tiling is None:
        widths, capability = layer_widths(base, decoder), compute_capability(base.device)
        launch_what_fits(
            launch, find_tiling(widths, output, products(precision, widths, capability), capability, base.device)
        )
    else:
        launch(tiling)
    return out


def tune_decode(
    base: Tensor,
    decoder: Decoder,
    latents: Tensor | Gaussian,
    out: Tensor,
    output: str,
    precision: str,
    measure: Callable[[Callable[[], object]], float] = do_bench,
) -> dict[Tiling, float]:
    """Try the tilings for such a problem and remember the fastest; what each took, in milliseconds, the rule's first.

    Arguments as of `launch_decode`. Those that need more of the GPU than it has are left out.
    """
    widths, capability = layer_widths(base, decoder), compute_capability(base.device)
    rounding = products(precision, widths, capability)
    took = {}
    for tiling in candidates(widths, rounding, capability):
        try:
            took[tiling] = measure(partial(launch_decode, base, decoder, latents, out, output, precision, tiling))
        except OutOfResources:
            continue
    if took:
        remember(min(took, key=lambda each: took[each]), widths, output, rounding, base.device)
    return took


def layer_widths(base: Tensor, decoder: Decoder) -> tuple[int, ...]:
    """Units of the first layer, of the hidden layers, and the classes."""
    return (base.shape[2], *(weight.shape[0] for weight in decoder.weights))


def launch_decode_sums(
    base: Tensor, decoder: Decoder, z: Tensor, precision: str, maps: Maps | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the hypotheses of z float32 (B, n, latent_dim), as `fastpunet_kernels.decode_sums` describes them."""
    images, pixels, _ = base.shape
    n, classes = z.shape[1], decoder.weights[-1].shape[0]
    widths, capability = layer_widths(base, decoder), compute_capability(base.device)
    tiling = find_tiling(widths, "sums", products(precision, widths, capability), capability, base.device)

    def launch(some: slice, run: int, outs: Outs) -> None:
        latents, strides = z[:, some], outs[0].stride()[:3]
        of_maps = maps._replace(values=maps.values[:, some]) if maps else None

        def in_tiling(tiling: Tiling) -> None:
            _launch(base, decoder, latents, latents.shape[1], "sums", precision, tiling, outs, strides, of_maps)

        launch_what_fits(in_tiling, tiling._replace(run=run))

    return sum_hypotheses(launch, base, (images, n, classes, pixels), tiling.run)


def launch_what_fits(launch: Callable[[Tiling], None], tiling: Tiling) -> None:
    """Launch in this tiling, or with fewer pixels at a time on a GPU that has too little room for it."""
    try:
        launch(tiling)
    except OutOfResources:
        if tiling.pixels == 32:
            raise
        pixels = tiling.pixels // 2
        launch_what_fits(launch, tiling._replace(pixels=pixels, warps=min(tiling.warps, pixels // 16)))


def _launch(
    base: Tensor,
    decoder: Decoder,
    latents: Tensor | Gaussian,
    n: int,
    output: str,
    precision: str,
    tiling: Tiling,
    outs: tuple[Tensor, Tensor | None, Tensor | None],
    out_strides: tuple[int, ...],
    maps: Maps | None,
) -> None:
    images, pixels, _ = base.shape
    widths, capability = layer_widths(base, decoder), compute_capability(base.device)
    tiling = latent_maps.tiling(tiling) if maps else tiling
    compile_time = constants(widths, output, products(precision, widths, capability), capability, tiling)
    offsets = launch_offsets(decoder, latents, images, n, compile_time["TILE_WIDTH"])
    grid = (images * triton.cdiv(n, tiling.run) * triton.cdiv(pixels, tiling.pixels),)
    with torch.cuda.device_of(base):
        decode_kernel[grid](
            *outs,
            base,
            offsets,
            tuple(weight.contiguous() for weight in decoder.weights),
            tuple(bias.contiguous() for bias in decoder.biases),
            latent_maps.arguments(maps, compile_time["TILE_WIDTH"]) if maps else (),
            n,
            pixels,
            tiling.run,
            math.prod(maps.values.shape[3:]) if maps else 0,
            *base.stride(),
            *out_strides,
            **compile_time,
            **latent_maps.constants(maps),
            **options(tiling, amd=bool(torch.version.hip)),
        )
