# mypy: allow-untyped-defs, allow-incomplete-defs
"""The 1x1 layers of f_comb on the matrix units: how operands are rounded, where weights are kept."""

import triton
import triton.language as tl


@triton.jit
def round_float32(x, LOST: tl.constexpr):
    """float32 x without its LOST lowest bits, to the nearest, ties to even; NaN stays NaN."""
    bits = x.to(tl.uint32, bitcast=True)
    rounded = (bits + (1 << (LOST - 1)) - 1 + ((bits >> LOST) & 1)) >> LOST << LOST
    return tl.where(x == x, rounded.to(tl.float32, bitcast=True), x)


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
        return round_float32(x, 13 if PRECISION == "tf32" else 16)


@triton.jit
def rectified(x, PRECISION: tl.constexpr, CAPABILITY: tl.constexpr):
    """operand(max(x, 0)), where NaN stays NaN as in PyTorch.

    NVIDIA GPUs of compute capability 8 do that in one instruction for two values in bfloat16, those of 9 in one for a
    value in TF32; the compiler takes three and ten. CAPABILITY 0 stands for all that has no such instructions.
    """
    if PRECISION == "bf16" and CAPABILITY >= 8:
        return tl.inline_asm_elementwise(
            "cvt.rn.relu.bf16x2.f32 $0, $2, $1;", "=r,f,f", [x], dtype=tl.bfloat16, is_pure=True, pack=2
        )
    elif PRECISION == "tf32" and CAPABILITY >= 9:
        return tl.inline_asm_elementwise(
            "cvt.rn.relu.tf32.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        return operand(tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL), PRECISION)


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
    CAPABILITY: tl.constexpr,
):
    """A 1x1 layer of the rectified `hidden`: float32 (PIXELS, WIDTH) to float32 (PIXELS, OUTS).

    `kept` holds the (weight, bias) of every layer, or nothing: then they are read here, STEP inputs at a time.
    """
    DOT: tl.constexpr = "tf32" if PRECISION == "tf32" else "ieee"
    left = rectified(hidden, PRECISION, CAPABILITY)
    if len(kept) > 0:
        weight, bias = kept[LAYER]
        total = tl.dot(left, weight, input_precision=DOT)
    else:
        PIXELS: tl.constexpr = hidden.shape[0]
        STEP: tl.constexpr = 16
        bias = load_bias(bias_ptrs, LAYER, WIDTHS, OUTS)
        total = tl.zeros([PIXELS, OUTS], tl.float32)
        for first in range(0, hidden.shape[1], STEP):
            column = tl.broadcast_to(first + tl.arange(0, STEP)[None, :], [PIXELS, STEP])
            part = tl.gather(left, column, axis=1)
            weight = load_weight(weight_ptrs, first, LAYER, WIDTHS, STEP, OUTS, PRECISION)
            total = tl.dot(part, weight, total, input_precision=DOT)
    return total + bias
