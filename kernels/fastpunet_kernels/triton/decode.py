# mypy: allow-untyped-defs, allow-incomplete-defs
"""f_comb for many latents at once: noise, reparameterisation, every 1x1 layer and the output in one kernel."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastpunet_kernels.dispatch import Decoder, Gaussian
from fastpunet_kernels.triton.philox import standard_normal

CHUNK = 16  # hypotheses whose latents are drawn together: the fewest rows that tl.dot takes
RUN = 64  # hypotheses per program
KEPT_WEIGHTS = 10240  # weights that fit on the chip beside the activations; larger networks are read again and again


@triton.jit
def relu(x):
    """max(x, 0), where NaN stays NaN as in PyTorch."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def operand(x, PRECISION: tl.constexpr):
    """float32 x rounded to what tl.dot shall multiply.

    Tensor cores merely cut float32 off to TF32, a biased and twice as large an error, hence the rounding here.
    "emulated bf16" is for Triton's interpreter, which cannot multiply bfloat16: the same values kept in float32.
    """
    if PRECISION == "bf16":
        return x.to(tl.bfloat16)
    elif PRECISION == "ieee":
        return x
    else:
        CUT: tl.constexpr = 13 if PRECISION == "tf32" else 16  # low mantissa bits to lose, to the nearest, ties to even
        bits = x.to(tl.uint32, bitcast=True)
        rounded = (bits + (1 << (CUT - 1)) - 1 + ((bits >> CUT) & 1)) >> CUT << CUT
        return tl.where(x == x, rounded.to(tl.float32, bitcast=True), x)


@triton.jit
def load_weight(
    weight_ptrs,
    first,
    LAYER: tl.constexpr,
    WIDTHS: tl.constexpr,
    INS: tl.constexpr,
    OUTS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Inputs first .. first + INS of a layer's weight (outs, ins) as an operand (INS, OUTS), padded with zeros."""
    i = first + tl.arange(0, INS)[:, None]
    o = tl.arange(0, OUTS)[None, :]
    real = (i < WIDTHS[LAYER]) & (o < WIDTHS[LAYER + 1])
    weight = tl.load(weight_ptrs[LAYER] + o * WIDTHS[LAYER] + i, mask=real, other=0.0)
    return operand(weight.to(tl.float32), PRECISION)


@triton.jit
def load_bias(bias_ptrs, LAYER: tl.constexpr, WIDTHS: tl.constexpr, OUTS: tl.constexpr):
    """A layer's bias as float32 (1, OUTS), padded with zeros."""
    o = tl.arange(0, OUTS)[None, :]
    return tl.load(bias_ptrs[LAYER] + o, mask=o < WIDTHS[LAYER + 1], other=0.0).to(tl.float32)


@triton.jit
def linear(
    hidden,
    kept,
    weight_ptrs,
    bias_ptrs,
    LAYER: tl.constexpr,
    WIDTHS: tl.constexpr,
    OUTS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """A 1x1 layer: float32 (PIXELS, WIDTH) to float32 (PIXELS, OUTS).

    `kept` holds the (weight, bias) of every layer, or nothing: then they are read here, STEP inputs at a time.
    """
    DOT: tl.constexpr = "tf32" if PRECISION == "tf32" else "ieee"
    if len(kept) > 0:
        weight, bias = kept[LAYER]
        total = tl.dot(operand(hidden, PRECISION), weight, input_precision=DOT)
    else:
        PIXELS: tl.constexpr = hidden.shape[0]
        STEP: tl.constexpr = 16
        bias = load_bias(bias_ptrs, LAYER, WIDTHS, OUTS)
        total = tl.zeros([PIXELS, OUTS], tl.float32)
        for first in range(0, hidden.shape[1], STEP):
            column = tl.broadcast_to(first + tl.arange(0, STEP)[None, :], [PIXELS, STEP])
            part = operand(tl.gather(hidden, column, axis=1), PRECISION)
            weight = load_weight(weight_ptrs, first, LAYER, WIDTHS, STEP, OUTS, PRECISION)
            total = tl.dot(part, weight, total, input_precision=DOT)
    return total + bias


@triton.jit
def store_output(out_ptr, plane_stride, logits, pixel, pixels, CLASSES: tl.constexpr, OUTPUT: tl.constexpr):
    """Logits (PIXELS, padded classes) of one hypothesis at pixels `pixel` (PIXELS,), as OUTPUT to planes at out_ptr."""
    PIXELS: tl.constexpr = logits.shape[0]
    PLANES: tl.constexpr = 1 if CLASSES == 1 else logits.shape[1]
    real = (pixel < pixels)[:, None]
    plane = tl.arange(0, PLANES)[None, :].to(tl.int64)
    column = tl.arange(0, logits.shape[1])[None, :]
    if CLASSES == 1:
        scores = tl.sum(tl.where(column == 0, logits, 0.0), axis=1, keep_dims=True)  # (PIXELS, PLANES) from here on
    else:
        scores = tl.where(column < CLASSES, logits, float("-inf"))

    if OUTPUT == "logits" or OUTPUT == "probs":
        if OUTPUT == "logits":
            result = scores
        elif CLASSES == 1:
            result = tl.div_rn(1.0, 1.0 + tl.exp(-scores))
        else:
            exponential = tl.exp(scores - tl.max(scores, axis=1, keep_dims=True))
            result = tl.div_rn(exponential, tl.sum(exponential, axis=1, keep_dims=True))
        tl.store(out_ptr + plane * plane_stride + pixel[:, None], result, mask=real & (plane < CLASSES))
    else:
        if CLASSES == 1:
            label = (scores > 0).to(tl.int32)  # (PIXELS, 1)
            member = label
        else:
            # PyTorch's argmax takes NaN for the largest value.
            label = tl.argmax(tl.where(scores == scores, scores, float("inf")), axis=1, keep_dims=True)
            member = (label == plane).to(tl.int32)
        if OUTPUT == "labels":
            tl.store(out_ptr + pixel[:, None], label.to(tl.uint8), mask=real)
        else:
            bits = tl.reshape(tl.where(real, member, 0), [PIXELS // 32, 32, PLANES])
            words = tl.sum(bits << tl.arange(0, 32)[None, :, None], axis=1)  # (PIXELS // 32, PLANES)
            word = (tl.min(pixel, axis=0) // 32 + tl.arange(0, PIXELS // 32))[:, None]
            tl.store(out_ptr + plane * plane_stride + word, words, mask=(word * 32 < pixels) & (plane < CLASSES))


@triton.jit(do_not_specialize=["seed", "first", "n"])
def decode_kernel(
    out_ptr,
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
    """The kernel of `launch_decode`; WIDTHS are the units of the first layer, of the hidden layers, and the classes.

    A program owns PIXELS pixels of one image and takes RUN hypotheses through all layers, in registers. It draws z
    itself where z_ptr is None, and holds all weights on the chip if KEEP.
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
            hidden = relu(base + offset)
            for layer in tl.static_range(LAST):
                hidden = relu(linear(hidden, kept, weight_ptrs, bias_ptrs, layer, WIDTHS, TILE_WIDTH, PRECISION))
            logits = linear(hidden, kept, weight_ptrs, bias_ptrs, LAST, WIDTHS, TILE_CLASSES, PRECISION)
            planes = out_ptr + image * out_strides[0] + tl.cast(hypothesis, tl.int64) * out_strides[1]
            store_output(planes, out_strides[2], logits, pixel, pixels, WIDTHS[LAST + 1], OUTPUT)


def constants(widths: tuple[int, ...], latent: int, output: str, precision: str) -> dict[str, Any]:
    """The compile-time arguments of `decode_kernel` for layers of `widths` units, the classes last."""
    width = max(16, triton.next_power_of_2(max(widths[:-1])))
    classes = max(16, triton.next_power_of_2(widths[-1]))
    pixels = 4096 // max(32, width, classes) // (2 if precision == "ieee" else 1)
    return {
        "OUTPUT": output,
        "PRECISION": precision,
        "LATENT": latent,
        "WIDTHS": widths,
        "KEEP": width * (width * (len(widths) - 2) + classes) <= KEPT_WEIGHTS,
        "TILE_LATENT": max(16, triton.next_power_of_2(latent)),
        "TILE_WIDTH": width,
        "TILE_CLASSES": classes,
        "PIXELS": max(32, pixels),
        "CHUNK": CHUNK,
        "RUN": RUN,
    }


def options(constants: dict[str, Any]) -> dict[str, int]:
    """How to compile `decode_kernel` for such `constants`: warps enough to hold the activations without spilling.

    The cap on registers, all that a thread can have, keeps ptxas from spilling a few for the sake of more threads.
    """
    widest = max(constants["TILE_WIDTH"], constants["TILE_CLASSES"])
    warps = 4 if widest <= 32 else 8 if widest <= 128 else 16
    return {"num_warps": warps, "num_stages": 1} | ({} if torch.version.hip else {"maxnreg": min(255, 2048 // warps)})


def launch_decode(
    base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, out: Tensor, output: str, precision: str
) -> Tensor:
    """Decode n latents per image, as `fastpunet_kernels.decode_samples` describes, into `out`, which is returned.

    base float32 (B, P, h); latents z float32 (B, n, latent_dim) or a `Gaussian`; out (B, n, ...) of the shape and type
    that belong to `output`, contiguous in its last dimension. All else may have any strides.
    """
    images, pixels, width = base.shape
    n = out.shape[1]
    widths = (width, *(weight.shape[0] for weight in decoder.weights))
    interpreted = not isinstance(decode_kernel, triton.JITFunction)
    rounding = "emulated bf16" if interpreted and precision == "bf16" else precision
    compile_time = constants(widths, decoder.z_weight.shape[1], output, rounding)
    drawn_or_given: tuple[Any, ...]
    if isinstance(latents, Gaussian):
        moments = latents.mu.contiguous(), latents.sigma.contiguous(), latents.ids.contiguous()
        drawn_or_given = (None, *moments, latents.seed, latents.first)
    else:
        drawn_or_given = (latents.contiguous(), None, None, None, None, None)
    grid = (images * triton.cdiv(n, RUN) * triton.cdiv(pixels, compile_time["PIXELS"]),)
    with torch.cuda.device_of(out):
        decode_kernel[grid](
            out,
            base,
            decoder.z_weight,
            tuple(weight.contiguous() for weight in decoder.weights),
            tuple(bias.contiguous() for bias in decoder.biases),
            *drawn_or_given,
            n,
            pixels,
            base.stride(),
            decoder.z_weight.stride(),
            (out.stride(0), out.stride(1), out.stride(2) if out.dim() == 4 else 0),
            **compile_time,
            **options(compile_time),
        )
    return out
