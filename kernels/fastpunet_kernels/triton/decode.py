# mypy: allow-untyped-defs, allow-incomplete-defs
"""f_comb for many latents at once: noise, reparameterisation, every 1x1 layer and the output or sums in one kernel."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.errors import OutOfResources
from triton.testing import do_bench

from fastpunet_kernels.problem import Decoder, Gaussian
from fastpunet_kernels.triton.layers import linear, load_bias, load_weight
from fastpunet_kernels.triton.outputs import add_to_sums, store_output, store_sums
from fastpunet_kernels.triton.philox import standard_normal
from fastpunet_kernels.triton.tiling import Tiling, candidates, find_tiling, padded, remember

CHUNK = 16  # hypotheses whose latents are drawn together: the fewest rows that tl.dot takes
PARTIAL_SUMS = 1 << 24  # floats of all programs' sums together, or as few as one program a tile of pixels has
KEPT_WEIGHTS = 10240  # weights that fit on the chip beside the activations; larger networks are read again and again


@triton.jit(do_not_specialize=["seed", "first", "n"])
def decode_kernel(
    out_ptr,
    entropy_ptr,
    volume_ptr,
    base_ptr,
    z_weight_ptr,
    weight_ptrs,
    bias_ptrs,
    z_ptr,
    mu_ptr,
    sigma_ptr,
    ids_ptr,
    seed,
    first,
    n,
    pixels,
    base_strides,
    z_weight_strides,
    out_strides,
    OUTPUT: tl.constexpr,
    PRECISION: tl.constexpr,
    CAPABILITY: tl.constexpr,
    LATENT: tl.constexpr,
    WIDTHS: tl.constexpr,
    KEEP: tl.constexpr,
    TILE_LATENT: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    TILE_CLASSES: tl.constexpr,
    PIXELS: tl.constexpr,
    CHUNK: tl.constexpr,
    RUN: tl.constexpr,
):
    """The kernel of the launchers; WIDTHS are the units of the first layer, of the hidden layers, and the classes.

    A program owns PIXELS pixels of one image and takes RUN hypotheses through all layers, in registers. It draws z
    itself where z_ptr is None, and holds all weights on the chip if KEEP. OUTPUT "sums" goes to out (B, runs, K, P),
    entropy (B, runs, P) and volume (B, n, K); any other to out (B, n, ...).
    """
    LAST: tl.constexpr = len(weight_ptrs) - 1
    tiles, runs = tl.cdiv(pixels, PIXELS), tl.cdiv(n, RUN)
    program = tl.program_id(0)
    image = (program // tiles // runs).to(tl.int64)
    start = program // tiles % runs * RUN
    stop = tl.minimum(start + RUN, n)
    pixel = program % tiles * PIXELS + tl.arange(0, PIXELS)
    unit = tl.arange(0, TILE_WIDTH)[None, :]
    dim = tl.arange(0, TILE_LATENT)

    base_place = base_ptr + image * base_strides[0] + pixel.to(tl.int64)[:, None] * base_strides[1]
    base_place += unit.to(tl.int64) * base_strides[2]
    base = tl.load(base_place, mask=(pixel < pixels)[:, None] & (unit < WIDTHS[0]), other=0.0)  # (PIXELS, TILE_WIDTH)
    z_weight = tl.load(
        z_weight_ptr + unit * z_weight_strides[0] + dim[:, None] * z_weight_strides[1],
        mask=(dim < LATENT)[:, None] & (unit < WIDTHS[0]),
        other=0.0,
    )  # (TILE_LATENT, TILE_WIDTH)
    kept = ()
    if KEEP:
        for layer in tl.static_range(LAST):
            weight = load_weight(weight_ptrs, 0, layer, WIDTHS, TILE_WIDTH, TILE_WIDTH, PRECISION)
            kept += ((weight, load_bias(bias_ptrs, layer, WIDTHS, TILE_WIDTH)),)  # type: ignore[assignment]
        weight = load_weight(weight_ptrs, 0, LAST, WIDTHS, TILE_WIDTH, TILE_CLASSES, PRECISION)
        kept += ((weight, load_bias(bias_ptrs, LAST, WIDTHS, TILE_CLASSES)),)  # type: ignore[assignment]
    if z_ptr is None:
        mu = tl.load(mu_ptr + image * LATENT + dim, mask=dim < LATENT, other=0.0)[None, :]
        sigma = tl.load(sigma_ptr + image * LATENT + dim, mask=dim < LATENT, other=0.0)[None, :]
        image_id = tl.load(ids_ptr + image)
    if OUTPUT == "sums":
        entropy = tl.zeros([PIXELS, 1], tl.float32)
        probability = tl.zeros([PIXELS, 1 if WIDTHS[LAST + 1] == 1 else TILE_CLASSES], tl.float32)

    for chunk in range(start, stop, CHUNK):
        row = chunk + tl.arange(0, CHUNK)[:, None]
        if z_ptr is None:
            z = mu + sigma * standard_normal(seed, image_id, first + row.to(tl.int64), dim[None, :])
        else:
            z_place = z_ptr + (image * n + row) * LATENT + dim[None, :]
            z = tl.load(z_place, mask=(row < n) & (dim < LATENT)[None, :], other=0.0)  # (CHUNK, TILE_LATENT)
        offsets = tl.dot(z, z_weight, input_precision="ieee")  # (CHUNK, TILE_WIDTH)
        for hypothesis in range(chunk, tl.minimum(chunk + CHUNK, stop)):
            offset = tl.sum(tl.where(row == hypothesis, offsets, 0.0), axis=0, keep_dims=True)
            hidden = base + offset
            for layer in tl.static_range(LAST):
                hidden = linear(hidden, kept, weight_ptrs, bias_ptrs, layer, WIDTHS, TILE_WIDTH, PRECISION, CAPABILITY)
            logits = linear(hidden, kept, weight_ptrs, bias_ptrs, LAST, WIDTHS, TILE_CLASSES, PRECISION, CAPABILITY)
            if OUTPUT == "sums":
                volumes = volume_ptr + (image * n + hypothesis) * WIDTHS[LAST + 1]
                probability, entropy = add_to_sums(
                    probability, entropy, volumes, logits, pixel, pixels, WIDTHS[LAST + 1]
                )
            else:
                planes = out_ptr + image * out_strides[0] + tl.cast(hypothesis, tl.int64) * out_strides[1]
                store_output(planes, out_strides[2], logits, pixel, pixels, WIDTHS[LAST + 1], OUTPUT)
    if OUTPUT == "sums":
        run = start // RUN
        planes = out_ptr + image * out_strides[0] + run * out_strides[1]
        entropies = entropy_ptr + (image * runs + run) * pixels
        store_sums(planes, out_strides[2], entropies, probability, entropy, pixel, pixels, WIDTHS[LAST + 1])


def constants(
    widths: tuple[int, ...], latent: int, output: str, precision: str, capability: int, tiling: Tiling
) -> dict[str, Any]:
    """The compile-time arguments of `decode_kernel` for layers of `widths` units, the classes last."""
    width, classes = padded(max(widths[:-1])), padded(widths[-1])
    return {
        "OUTPUT": output,
        "PRECISION": precision,
        "CAPABILITY": capability,
        "LATENT": latent,
        "WIDTHS": widths,
        "KEEP": width * (width * (len(widths) - 2) + classes) <= KEPT_WEIGHTS,
        "TILE_LATENT": padded(latent),
        "TILE_WIDTH": width,
        "TILE_CLASSES": classes,
        "PIXELS": tiling.pixels,
        "CHUNK": CHUNK,
        "RUN": tiling.run,
    }


def options(tiling: Tiling) -> dict[str, int]:
    """How to compile `decode_kernel`.

    The cap on registers, all that a thread can have, keeps ptxas from spilling a few for the sake of more threads.
    """
    cap = {} if torch.version.hip else {"maxnreg": min(255, 2048 // tiling.warps)}
    return {"num_warps": tiling.warps, "num_stages": 1} | cap


def launch_decode(
    base: Tensor,
    decoder: Decoder,
    latents: Tensor | Gaussian,
    out: Tensor,
    output: str,
    precision: str,
    tiling: Tiling | None = None,
) -> Tensor:
    """Decode n latents per image, as `fastpunet_kernels.decode_samples` describes, into `out`, which is returned.

    base float32 (B, P, h); latents z float32 (B, n, latent_dim) or a `Gaussian`; out (B, n, ...) of the shape and type
    that belong to `output`, contiguous in its last dimension. All else may have any strides. tiling: None for the one
    that was found fastest, or the rule's.
    """
    if tiling is None:
        tiling = find_tiling(layer_widths(base, decoder), decoder.z_weight.shape[1], output, precision, base.device)
    strides = (out.stride(0), out.stride(1), out.stride(2) if out.dim() == 4 else 0)
    _launch(base, decoder, latents, out.shape[1], output, precision, tiling, (out, None, None), strides)
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
    widths, latent = layer_widths(base, decoder), decoder.z_weight.shape[1]
    took = {}
    for tiling in candidates(widths, precision):
        try:
            took[tiling] = measure(partial(launch_decode, base, decoder, latents, out, output, precision, tiling))
        except OutOfResources:
            continue
    if took:
        remember(min(took, key=lambda each: took[each]), widths, latent, output, precision, base.device)
    return took


def layer_widths(base: Tensor, decoder: Decoder) -> tuple[int, ...]:
    """Units of the first layer, of the hidden layers, and the classes."""
    return (base.shape[2], *(weight.shape[0] for weight in decoder.weights))


def launch_decode_sums(base: Tensor, decoder: Decoder, z: Tensor, precision: str) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the hypotheses of z float32 (B, n, latent_dim), as `fastpunet_kernels.decode_sums` describes them.

    A program sums its hypotheses in float32; those sums are added up in float64, always in the same order.
    """
    images, pixels, _ = base.shape
    n, classes = z.shape[1], decoder.weights[-1].shape[0]
    widths = layer_widths(base, decoder)
    tiling = find_tiling(widths, z.shape[2], "sums", precision, base.device)
    run = tiling.run
    while run < n and images * (classes + 1) * pixels * triton.cdiv(n, run) > PARTIAL_SUMS:
        run *= 2
    probability = base.new_empty((images, triton.cdiv(n, run), classes, pixels))
    entropy = base.new_empty((images, triton.cdiv(n, run), pixels))
    volume = base.new_zeros((images, n, classes), dtype=torch.int64)
    outs = (probability, entropy, volume)
    _launch(base, decoder, z, n, "sums", precision, tiling._replace(run=run), outs, probability.stride()[:3])
    return probability.sum(1, dtype=torch.float64), entropy.sum(1, dtype=torch.float64), volume


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
) -> None:
    images, pixels, _ = base.shape
    interpreted = not isinstance(decode_kernel, triton.JITFunction)
    rounding = "emulated bf16" if interpreted and precision == "bf16" else precision
    plain = interpreted or torch.version.hip
    capability = 0 if plain else torch.cuda.get_device_capability(base.device)[0]
    widths = layer_widths(base, decoder)
    compile_time = constants(widths, decoder.z_weight.shape[1], output, rounding, capability, tiling)
    drawn_or_given: tuple[Any, ...]
    if isinstance(latents, Gaussian):
        moments = latents.mu.contiguous(), latents.sigma.contiguous(), latents.ids.contiguous()
        drawn_or_given = (None, *moments, latents.seed, latents.first)
    else:
        drawn_or_given = (latents.contiguous(), None, None, None, None, None)
    grid = (images * triton.cdiv(n, tiling.run) * triton.cdiv(pixels, tiling.pixels),)
    with torch.cuda.device_of(base):
        decode_kernel[grid](
            *outs,
            base,
            decoder.z_weight,
            tuple(weight.contiguous() for weight in decoder.weights),
            tuple(bias.contiguous() for bias in decoder.biases),
            *drawn_or_given,
            n,
            pixels,
            base.stride(),
            decoder.z_weight.stride(),
            out_strides,
            **compile_time,
            **options(tiling),
        )
