# mypy: allow-untyped-defs, allow-incomplete-defs
"""What logits become: label maps, logits, probabilities, bits, or a share of the sums over all hypotheses.

The columns of logits (PIXELS, COLUMNS) are as many hypotheses of a binary model (CLASSES is 1), or the classes of one
hypothesis, padded. The first `columns` of them are real. CAPABILITY is that of `layers`; 0 gives the same anywhere.
"""

import triton
import triton.language as tl

LOG_2 = tl.constexpr(0.6931471805599453)
LOG2_E = tl.constexpr(1.4426950408889634)
FARTHEST = tl.constexpr(200.0)  # from the largest logit: the exponential is 0 in float32, and 0 times this is 0


@triton.jit
def exponential(x, CAPABILITY: tl.constexpr):
    """exp(x). On NVIDIA GPUs what is below the least normal number becomes 0, for half as many instructions."""
    if CAPABILITY > 0:
        return tl.inline_asm_elementwise(
            "ex2.approx.ftz.f32 $0, $1;", "=f,f", [x * LOG2_E], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        return tl.exp(x)


@triton.jit
def ranked(logits, CLASSES: tl.constexpr, CAPABILITY: tl.constexpr):
    """The logits of several classes, and the largest of each pixel (PIXELS, 1).

    NaN becomes infinity, since PyTorch's argmax takes it for the largest value, and padding becomes minus infinity. For
    NVIDIA GPUs infinity is the smaller of NaN and infinity, which they find in one instruction.
    """
    scores = tl.minimum(logits, float("inf")) if CAPABILITY > 0 else tl.where(logits == logits, logits, float("inf"))
    scores = tl.where(tl.arange(0, logits.shape[1])[None, :] < CLASSES, scores, float("-inf"))
    return scores, tl.max(scores, axis=1, keep_dims=True)


@triton.jit
def first_of(scores, largest):
    """The first column that has the largest of the scores: int32 (PIXELS, 1)."""
    COLUMNS: tl.constexpr = scores.shape[1]
    return tl.min(tl.where(scores == largest, tl.arange(0, COLUMNS)[None, :], COLUMNS), axis=1, keep_dims=True)


@triton.jit
def probabilities(logits, CLASSES: tl.constexpr, CAPABILITY: tl.constexpr):
    """Sigmoid, or softmax over the classes."""
    if CLASSES == 1:
        return tl.div_rn(1.0, 1.0 + exponential(-logits, CAPABILITY))
    else:
        scores, largest = ranked(logits, CLASSES, CAPABILITY)
        part = exponential(scores - largest, CAPABILITY)
        return part * tl.div_rn(1.0, tl.sum(part, axis=1, keep_dims=True))


@triton.jit
def labels(logits, CLASSES: tl.constexpr, CAPABILITY: tl.constexpr):
    """Labels int32, (PIXELS, COLUMNS) of as many hypotheses or (PIXELS, 1) of one."""
    if CLASSES == 1:
        return (logits > 0).to(tl.int32)
    else:
        scores, largest = ranked(logits, CLASSES, CAPABILITY)
        return first_of(scores, largest)


@triton.jit
def members(logits, CLASSES: tl.constexpr, CAPABILITY: tl.constexpr):
    """Whether a pixel is of the foreground, or of each class: int32 (PIXELS, COLUMNS)."""
    label = labels(logits, CLASSES, CAPABILITY)
    if CLASSES == 1:
        return label
    else:
        return (label == tl.arange(0, logits.shape[1])[None, :]).to(tl.int32)


@triton.jit
def either(a, b):
    return a | b


@triton.jit
def packed(member):
    """Members int32 (PIXELS, COLUMNS) to words int32 (PIXELS // 32, COLUMNS): pixel p is bit p % 32 of word p // 32."""
    WORDS: tl.constexpr = member.shape[0] // 32
    bits = tl.reshape(member << (tl.arange(0, member.shape[0]) % 32)[:, None], [WORDS, 32, member.shape[1]])
    return tl.reduce(bits, 1, either)


@triton.jit
def store_output(
    out_ptr,
    column_stride,
    columns,
    logits,
    first,
    pixels,
    CLASSES: tl.constexpr,
    CAPABILITY: tl.constexpr,
    OUTPUT: tl.constexpr,
):
    """Logits (PIXELS, COLUMNS) of the pixels from `first` on, as OUTPUT to out_ptr."""
    PIXELS: tl.constexpr = logits.shape[0]
    pixel = first + tl.arange(0, PIXELS)[:, None]
    column = tl.arange(0, logits.shape[1])[None, :]
    place = out_ptr + column * column_stride
    real = (pixel < pixels) & (column < columns)
    if OUTPUT == "labels" and CLASSES == 1:
        tl.store(place + pixel, labels(logits, CLASSES, CAPABILITY).to(tl.uint8), mask=real)
    elif OUTPUT == "labels":
        tl.store(out_ptr + pixel, labels(logits, CLASSES, CAPABILITY).to(tl.uint8), mask=pixel < pixels)
    elif OUTPUT == "bits":
        words = packed(tl.where(pixel < pixels, members(logits, CLASSES, CAPABILITY), 0))
        word = first // 32 + tl.arange(0, PIXELS // 32)[:, None]
        tl.store(place + word, words, mask=(word * 32 < pixels) & (column < columns))
    else:
        values = probabilities(logits, CLASSES, CAPABILITY) if OUTPUT == "probs" else logits
        tl.store(place + pixel, values, mask=real)


@triton.jit
def counts(label, real, COLUMNS: tl.constexpr):
    """How many of the real pixels have each of COLUMNS labels: int32 (COLUMNS,) of label, real (PIXELS, 1).

    A word of 32 bits counts as many labels as it has room for.
    """
    BITS: tl.constexpr = 8 if label.shape[0] < 256 else 16
    EACH: tl.constexpr = 32 // BITS
    label = label.to(tl.uint32)
    one = tl.where(real, 1 << label % EACH * BITS, 0)
    words = tl.sum(tl.where(label // EACH == tl.arange(0, COLUMNS // EACH)[None, :], one, 0), axis=0)
    each = words[:, None] >> (tl.arange(0, EACH) * BITS)[None, :] & ((1 << BITS) - 1)
    return tl.reshape(each, [COLUMNS]).to(tl.int32)


@triton.jit
def no_sums(PIXELS: tl.constexpr, COLUMNS: tl.constexpr, CLASSES: tl.constexpr):
    """The sums over no hypotheses, to which `add_to_sums` adds: probability, entropy, a product and its power.

    The total of a softmax is the sum of its exponentials, the largest of which is 1, and its entropy is the mean
    distance of its logits from the largest plus log(total). A product of totals needs one logarithm only: for a binary
    model that of the hypotheses that are taken together, else (PIXELS, 1) that of all of them, float32 from 1 to 2
    times a power of two int32.
    """
    zeros = tl.zeros([PIXELS, 1], tl.float32)
    return tl.zeros([PIXELS, 1 if CLASSES == 1 else COLUMNS], tl.float32), zeros, zeros + 1.0, zeros.to(tl.int32)


@triton.jit
def multiplied(product, power, x):
    """product * 2**power * x, x >= 1, as a product from 1 to 2 and a power; if x is NaN, any numbers."""
    bits = (product * x).to(tl.int32, bitcast=True)
    return (bits & 0x7FFFFF | 0x3F800000).to(tl.float32, bitcast=True), power + (bits >> 23) - 127


@triton.jit
def multiply(a, b):
    return a * b


@triton.jit
def add_to_sums(sums, volume_ptr, columns, logits, first, pixels, CLASSES: tl.constexpr, CAPABILITY: tl.constexpr):
    """Logits (PIXELS, COLUMNS) of the pixels from `first` on, added to the sums of these pixels, which are returned.

    Sums as of `no_sums`; volumes int64 at volume_ptr.
    """
    probability, entropy, product, power = sums
    real = first + tl.arange(0, logits.shape[0])[:, None] < pixels
    column = tl.arange(0, logits.shape[1])
    if CLASSES == 1:
        logits = tl.where(column[None, :] < columns, logits, float("-inf"))
        volume = tl.sum(tl.where(real, labels(logits, CLASSES, CAPABILITY), 0), axis=0)
        distance = tl.abs(logits)
        part = exponential(-distance, CAPABILITY)
        total = 1.0 + part
        share = tl.div_rn(1.0, total)
        probability += tl.sum(tl.where(logits > 0, share, part * share), axis=1, keep_dims=True)
        entropy += tl.sum(tl.minimum(distance, FARTHEST) * (part * share), axis=1, keep_dims=True)
        entropy += tl.log(tl.reduce(total, 1, multiply, keep_dims=True))
    else:
        scores, largest = ranked(logits, CLASSES, CAPABILITY)
        volume = counts(first_of(scores, largest), real, logits.shape[1])
        distance = largest - scores
        part = exponential(-distance, CAPABILITY)
        total = tl.sum(part, axis=1, keep_dims=True)
        share = tl.div_rn(1.0, total)
        probability += part * share
        entropy += tl.sum(tl.minimum(distance, FARTHEST) * part, axis=1, keep_dims=True) * share
        product, power = multiplied(product, power, total)
    tl.atomic_add(volume_ptr + column, volume.to(tl.int64), mask=column < columns, sem="relaxed")
    return probability, entropy, product, power


@triton.jit
def store_sums(probability_ptr, plane_stride, entropy_ptr, sums, first, pixels, CLASSES: tl.constexpr):
    """The sums of `add_to_sums` to planes at probability_ptr, and those of the entropy in nats to entropy_ptr."""
    probability, entropy, product, power = sums
    pixel = first + tl.arange(0, probability.shape[0])[:, None]
    plane = tl.arange(0, probability.shape[1])[None, :]
    real = pixel < pixels
    tl.store(probability_ptr + plane * plane_stride + pixel, probability, mask=real & (plane < CLASSES))
    tl.store(entropy_ptr + pixel, entropy + (tl.log(product) + power * LOG_2), mask=real)
