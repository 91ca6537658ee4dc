# mypy: allow-untyped-defs, allow-incomplete-defs
"""What logits become: label maps, logits, probabilities, bits, or a share of the sums over all hypotheses.

The columns of logits (PIXELS, COLUMNS) are as many hypotheses of a binary model (CLASSES is 1), or the classes of one
hypothesis, padded. The first `columns` of them are real.
"""

import triton
import triton.language as tl


@triton.jit
def probabilities(logits, CLASSES: tl.constexpr):
    """Sigmoid, or softmax over the classes."""
    if CLASSES == 1:
        return tl.div_rn(1.0, 1.0 + tl.exp(-logits))
    else:
        scores = tl.where(tl.arange(0, logits.shape[1])[None, :] < CLASSES, logits, float("-inf"))
        exponential = tl.exp(scores - tl.max(scores, axis=1, keep_dims=True))
        return tl.div_rn(exponential, tl.sum(exponential, axis=1, keep_dims=True))


@triton.jit
def labels(logits, CLASSES: tl.constexpr):
    """Labels int32, (PIXELS, COLUMNS) of as many hypotheses or (PIXELS, 1) of one.

    PyTorch's argmax takes NaN for the largest value.
    """
    if CLASSES == 1:
        return (logits > 0).to(tl.int32)
    else:
        scores = tl.where(logits == logits, logits, float("inf"))
        scores = tl.where(tl.arange(0, logits.shape[1])[None, :] < CLASSES, scores, float("-inf"))
        return tl.argmax(scores, axis=1, keep_dims=True)


@triton.jit
def members(logits, CLASSES: tl.constexpr):
    """Whether a pixel is of the foreground, or of each class: int32 (PIXELS, COLUMNS)."""
    label = labels(logits, CLASSES)
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
def store_output(out_ptr, column_stride, columns, logits, first, pixels, CLASSES: tl.constexpr, OUTPUT: tl.constexpr):
    """Logits (PIXELS, COLUMNS) of the pixels from `first` on, as OUTPUT to out_ptr."""
    PIXELS: tl.constexpr = logits.shape[0]
    pixel = first + tl.arange(0, PIXELS)[:, None]
    column = tl.arange(0, logits.shape[1])[None, :]
    place = out_ptr + column * column_stride
    real = (pixel < pixels) & (column < columns)
    if OUTPUT == "labels" and CLASSES == 1:
        tl.store(place + pixel, labels(logits, CLASSES).to(tl.uint8), mask=real)
    elif OUTPUT == "labels":
        tl.store(out_ptr + pixel, labels(logits, CLASSES).to(tl.uint8), mask=pixel < pixels)
    elif OUTPUT == "bits":
        words = packed(tl.where(pixel < pixels, members(logits, CLASSES), 0))
        word = first // 32 + tl.arange(0, PIXELS // 32)[:, None]
        tl.store(place + word, words, mask=(word * 32 < pixels) & (column < columns))
    else:
        tl.store(place + pixel, probabilities(logits, CLASSES) if OUTPUT == "probs" else logits, mask=real)


@triton.jit
def entropy_terms(p):
    """-p log p, which is 0 at 0."""
    return -p * tl.log(tl.where(p == 0, 1.0, p))


@triton.jit
def add_to_sums(probability, entropy, volume_ptr, columns, logits, first, pixels, CLASSES: tl.constexpr):
    """Logits (PIXELS, COLUMNS) of the pixels from `first` on, added to the sums of these pixels, which are returned.

    Sums float32: probability (PIXELS, 1) or (PIXELS, COLUMNS), entropy (PIXELS, 1) in nats; volumes int64 at
    volume_ptr.
    """
    real = first + tl.arange(0, logits.shape[0])[:, None] < pixels
    column = tl.arange(0, logits.shape[1])
    volume = tl.sum(tl.where(real, members(logits, CLASSES), 0), axis=0)
    tl.atomic_add(volume_ptr + column, volume.to(tl.int64), mask=column < columns, sem="relaxed")
    p = probabilities(logits, CLASSES)
    terms = entropy_terms(p)
    if CLASSES == 1:
        terms = tl.where(column[None, :] < columns, terms + entropy_terms(1 - p), 0.0)
        p = tl.sum(tl.where(column[None, :] < columns, p, 0.0), axis=1, keep_dims=True)
    return probability + p, entropy + tl.sum(terms, axis=1, keep_dims=True)


@triton.jit
def store_sums(probability_ptr, plane_stride, entropy_ptr, probability, entropy, first, pixels, CLASSES: tl.constexpr):
    """The sums of `add_to_sums` to planes at probability_ptr and to entropy_ptr."""
    pixel = first + tl.arange(0, probability.shape[0])[:, None]
    plane = tl.arange(0, probability.shape[1])[None, :]
    real = pixel < pixels
    tl.store(probability_ptr + plane * plane_stride + pixel, probability, mask=real & (plane < CLASSES))
    tl.store(entropy_ptr + pixel, entropy, mask=real)
