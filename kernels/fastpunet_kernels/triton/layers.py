# mypy: allow-untyped-defs, allow-incomplete-defs
"""The 1x1 layers of f_comb on the matrix units: how operands are rounded and laid out, where weights are kept.

PRECISION is that of the products: "bf16", "tf32", "ieee" (float32), "3xtf32" (float32 by three products of TF32), or
"emulated bf16" for Triton's interpreter, which cannot multiply bfloat16: the same values kept in float32. CAPABILITY is
an NVIDIA GPU's major compute capability, and 0 stands for all that has no such instructions.

An operand is a tuple: of one tensor, or for "3xtf32" of that and of what rounding took away from it. In "tf32" it is
one of the even and one of the odd columns (of weights: rows), for of those a thread holds in an accumulator what the
matrix units take of it in an operand, and nothing is exchanged between threads.
"""

import triton
import triton.language as tl

# The share of a sum in float32 that tensor cores cut off, in the mean. Half of its last place would be 0.36 * 2**-23;
# products are cut off before they are added, which takes from either sign (measured in tests/helpers/tensor_cores.py).
LOST = tl.constexpr(0.28 * 2**-23)

# Two products, a bias each, in bfloat16: relu(product * 1 + bias) of the rounded products.
BIASED = tl.constexpr(
    "{.reg .b32 products, ones; mov.b32 ones, 0x3F803F80; cvt.rn.bf16x2.f32 products, $2, $1; "
    "fma.rn.relu.bf16x2 $0, products, ones, $3;}"
)


@triton.jit
def round_float32(x, LOST: tl.constexpr):
    """float32 x without its LOST lowest bits, to the nearest, ties to even; NaN stays NaN."""
    bits = x.to(tl.uint32, bitcast=True)
    rounded = (bits + (1 << (LOST - 1)) - 1 + ((bits >> LOST) & 1)) >> LOST << LOST
    return tl.where(x == x, rounded.to(tl.float32, bitcast=True), x)


@triton.jit
def rounded(x, PRECISION: tl.constexpr):
    """float32 x rounded to what tl.dot shall multiply.

    Tensor cores merely cut float32 off to TF32, a biased and twice as large an error, hence the rounding here.
    """
    if PRECISION == "bf16":
        return x.to(tl.bfloat16)
    elif PRECISION == "ieee":
        return x
    else:
        return round_float32(x, 16 if PRECISION == "emulated bf16" else 13)


@triton.jit
def rectified(x, PRECISION: tl.constexpr, CAPABILITY: tl.constexpr):
    """max(x, 0) as an operand, of float32 x; NaN stays NaN as in PyTorch.

    NVIDIA GPUs of compute capability 8 rectify and round two values in bfloat16 in one instruction, and those of 9 one
    value in TF32, for which those of 8 take three; the compiler takes three and ten.
    """
    positive = tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)
    if PRECISION == "bf16" and CAPABILITY >= 8:
        high = tl.inline_asm_elementwise(
            "cvt.rn.relu.bf16x2.f32 $0, $2, $1;", "=r,f,f", [x], dtype=tl.bfloat16, is_pure=True, pack=2
        )
    elif (PRECISION == "tf32" or PRECISION == "3xtf32") and CAPABILITY >= 9:
        high = tl.inline_asm_elementwise(
            "cvt.rn.relu.tf32.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    elif (PRECISION == "tf32" or PRECISION == "3xtf32") and CAPABILITY == 8:
        high = tl.inline_asm_elementwise(
            "cvt.rna.tf32.f32 $0, $1;", "=f,f", [positive], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        high = rounded(positive, PRECISION)
    if PRECISION == "3xtf32":
        return high, positive - high
    else:
        return even_and_odd(high) if PRECISION == "tf32" else (high,)


@triton.jit
def even_and_odd(x):
    """The even and the odd columns of x (PIXELS, INS)."""
    PIXELS: tl.constexpr = x.shape[0]
    INS: tl.constexpr = x.shape[1]
    return tl.split(tl.reshape(x, [PIXELS, INS // 2, 2]))


@triton.jit
def biased(total, bias, PRECISION: tl.constexpr, CAPABILITY: tl.constexpr):
    """max(total + bias, 0) as an operand, of float32 products (PIXELS, WIDTH) and a bias (1, WIDTH).

    In bfloat16 products, bias and sum are rounded, as PyTorch does: two instructions for two values.
    """
    if PRECISION == "bf16" and CAPABILITY >= 8:
        wide = tl.broadcast_to(bias.to(tl.bfloat16), total.shape)
        return (tl.inline_asm_elementwise(BIASED, "=r,f,f,r", [total, wide], dtype=tl.bfloat16, is_pure=True, pack=2),)
    elif PRECISION == "emulated bf16":
        return rectified(rounded(total, PRECISION) + rounded(bias, PRECISION), PRECISION, CAPABILITY)
    else:
        return rectified(total + bias, PRECISION, CAPABILITY)


@triton.jit
def paired(k):
    """Column 8 b + 2 t + e of an accumulator, which becomes column 8 b + 4 e + t of an operand: k -> its column."""
    return k // 8 * 8 + k % 4 * 2 + k % 8 // 4


@triton.jit
def in_pairs(x):
    """The columns of x (PIXELS, INS) in the order of `paired`."""
    PIXELS: tl.constexpr = x.shape[0]
    INS: tl.constexpr = x.shape[1]
    return tl.reshape(tl.permute(tl.reshape(x, [PIXELS, INS // 8, 4, 2]), [0, 1, 3, 2]), [PIXELS, INS])


@triton.jit
def product(left, right, total, PRECISION: tl.constexpr):
    """total + left @ right, of operands and a float32 total; for "3xtf32" without the product of the rests.

    "3xtf32" sums over `left`'s columns in the order of `paired`, in which `load_weight` loads `right`'s rows. So it
    exchanges nothing either, in half as many steps as it would take for even and odd columns.
    """
    if PRECISION == "3xtf32":
        high = in_pairs(left[0])
        total = tl.dot(in_pairs(left[1]), right[0], total, input_precision="tf32")  # the smallest first
        total = tl.dot(high, right[1], total, input_precision="tf32")
        return tl.dot(high, right[0], total, input_precision="tf32")
    elif PRECISION == "tf32":
        total = tl.dot(left[0], right[0], total, input_precision="tf32")
        return tl.dot(left[1], right[1], total, input_precision="tf32")
    else:
        return tl.dot(left[0], right[0], total, input_precision="ieee")


@triton.jit
def anchored(x, PRECISION: tl.constexpr):
    """float32 x (PIXELS, WIDTH) as it is, but where accumulators are, so that sums of both stay in registers.

    Two products, for the compiler lays out one alone in another way than one that others follow.
    """
    left = rounded(tl.zeros([x.shape[0], 16], tl.float32), PRECISION)
    right = rounded(tl.zeros([16, x.shape[1]], tl.float32), PRECISION)
    x = product((left, left), (right, right), x, PRECISION)
    return product((left, left), (right, right), x, PRECISION)


@triton.jit
def output_columns(layer_ptrs, LAYER: tl.constexpr, WIDTHS: tl.constexpr, OUTS: tl.constexpr):
    """The output of a layer that each of OUTS columns holds; all hold the only one of a binary model's last layer."""
    column = tl.arange(0, OUTS)[None, :]
    return column * 0 if len(layer_ptrs) - 1 == LAYER and WIDTHS[LAYER + 1] == 1 else column


@triton.jit
def load_weight(
    weight_ptrs,
    first,
    LAYER: tl.constexpr,
    WIDTHS: tl.constexpr,
    INS: tl.constexpr,
    OUTS: tl.constexpr,
    PRECISION: tl.constexpr,
    CAPABILITY: tl.constexpr,
):
    """Inputs first .. first + INS of a layer's weight (outs, ins) as an operand (INS, OUTS), padded with zeros.

    For "3xtf32" on a GPU, the rest makes up for what the sums of these inputs' products will lose.
    """
    k = tl.arange(0, INS)[:, None]
    if PRECISION == "tf32":
        i = first + 2 * tl.arange(0, INS // 2)[:, None]
        even, odd = load_rows(weight_ptrs, i, LAYER, WIDTHS, OUTS), load_rows(weight_ptrs, i + 1, LAYER, WIDTHS, OUTS)
        return rounded(even, PRECISION), rounded(odd, PRECISION)
    elif PRECISION == "3xtf32":
        weight = load_rows(weight_ptrs, first + paired(k), LAYER, WIDTHS, OUTS)
        high = rounded(weight, PRECISION)
        rest = weight - high
        if CAPABILITY > 0:
            rest += weight * lost(k, INS, WIDTHS[LAYER] - first)
        return high, rounded(rest, PRECISION)
    else:
        return (rounded(load_rows(weight_ptrs, first + k, LAYER, WIDTHS, OUTS), PRECISION),)


@triton.jit
def load_rows(weight_ptrs, i, LAYER: tl.constexpr, WIDTHS: tl.constexpr, OUTS: tl.constexpr):
    """A layer's weight for its inputs i (INS, 1), float32 (INS, OUTS)."""
    o = output_columns(weight_ptrs, LAYER, WIDTHS, OUTS)
    real = (i < WIDTHS[LAYER]) & (o < WIDTHS[LAYER + 1])
    return tl.load(weight_ptrs[LAYER] + o * WIDTHS[LAYER] + i, mask=real, other=0.0).to(tl.float32)


@triton.jit
def lost(k, INS: tl.constexpr, rows):
    """The share of its products that row k of INS will lose, where `rows` of the weight are still to be multiplied.

    Tensor cores round no sum, but cut it off, after every 8 products. "3xtf32" multiplies by INS rows three times, the
    last time by those that matter. What has been added up by then loses LOST each time.
    """
    now = tl.cdiv(tl.minimum(rows, INS), 8) - k // 8
    later = tl.cdiv(tl.maximum(rows - INS, 0), 8)
    return LOST * (now + 3 * later)


@triton.jit
def load_bias(bias_ptrs, LAYER: tl.constexpr, WIDTHS: tl.constexpr, OUTS: tl.constexpr):
    """A layer's bias as float32 (1, OUTS), padded with zeros."""
    o = output_columns(bias_ptrs, LAYER, WIDTHS, OUTS)
    return tl.load(bias_ptrs[LAYER] + o, mask=o < WIDTHS[LAYER + 1], other=0.0).to(tl.float32)


@triton.jit
def load_layers(
    weight_ptrs,
    bias_ptrs,
    WIDTHS: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
    CAPABILITY: tl.constexpr,
    KEEP: tl.constexpr,
):
    """The (weight, bias) of every layer, kept on the chip; nothing if not KEEP. The last one has COLUMNS outputs."""
    LAST: tl.constexpr = len(weight_ptrs) - 1
    kept = ()
    if KEEP:
        for layer in tl.static_range(LAST):
            weight = load_weight(weight_ptrs, 0, layer, WIDTHS, TILE_WIDTH, TILE_WIDTH, PRECISION, CAPABILITY)
            kept += ((weight, load_bias(bias_ptrs, layer, WIDTHS, TILE_WIDTH)),)  # type: ignore[assignment]
        weight = load_weight(weight_ptrs, 0, LAST, WIDTHS, TILE_WIDTH, COLUMNS, PRECISION, CAPABILITY)
        kept += ((weight, load_bias(bias_ptrs, LAST, WIDTHS, COLUMNS)),)  # type: ignore[assignment]
    return kept


@triton.jit
def linear(
    left,
    kept,
    weight_ptrs,
    bias_ptrs,
    LAYER: tl.constexpr,
    WIDTHS: tl.constexpr,
    OUTS: tl.constexpr,
    PRECISION: tl.constexpr,
    CAPABILITY: tl.constexpr,
):
    """A 1x1 layer of an operand (PIXELS, WIDTH): the products, float32 (PIXELS, OUTS), and the bias to add to them.

    `kept` holds the (weight, bias) of every layer, or nothing: then they are read here, STEP columns of each tensor of
    `left` at a time.
    """
    PIXELS: tl.constexpr = left[0].shape[0]
    total = tl.zeros([PIXELS, OUTS], tl.float32)
    if len(kept) > 0:
        weight, bias = kept[LAYER]
        return product(left, weight, total, PRECISION), bias
    else:
        STEP: tl.constexpr = 16
        EVERY: tl.constexpr = 2 if PRECISION == "tf32" else 1
        for first in range(0, left[0].shape[1], STEP):
            column = tl.broadcast_to(first + tl.arange(0, STEP)[None, :], [PIXELS, STEP])
            some = ()
            for part in tl.static_range(len(left)):
                some += (tl.gather(left[part], column, axis=1),)  # type: ignore[assignment]
            weight = load_weight(weight_ptrs, first * EVERY, LAYER, WIDTHS, STEP * EVERY, OUTS, PRECISION, CAPABILITY)
            total = product(some, weight, total, PRECISION)
        return total, load_bias(bias_ptrs, LAYER, WIDTHS, OUTS)
