# mypy: allow-untyped-defs, allow-incomplete-defs
"""What a hypothesis' logits become: a label map, logits, probabilities, bits, or its share of the sums over all."""

import triton
import triton.language as tl


@triton.jit
def class_scores(logits, CLASSES: tl.constexpr):
    """Logits (PIXELS, padded classes) to scores (PIXELS, PLANES): the one of a binary model, or -inf as padding."""
    column = tl.arange(0, logits.shape[1])[None, :]
    if CLASSES == 1:
        return tl.sum(tl.where(column == 0, logits, 0.0), axis=1, keep_dims=True)
    else:
        return tl.where(column < CLASSES, logits, float("-inf"))


@triton.jit
def probabilities(scores, CLASSES: tl.constexpr):
    """Sigmoid or softmax of scores (PIXELS, PLANES)."""
    if CLASSES == 1:
        return tl.div_rn(1.0, 1.0 + tl.exp(-scores))
    else:
        exponential = tl.exp(scores - tl.max(scores, axis=1, keep_dims=True))
        return tl.div_rn(exponential, tl.sum(exponential, axis=1, keep_dims=True))


@triton.jit
def decisions(scores, CLASSES: tl.constexpr):
    """Labels int32 (PIXELS, 1). PyTorch's argmax takes NaN for the largest value."""
    if CLASSES == 1:
        return (scores > 0).to(tl.int32)
    else:
        return tl.argmax(tl.where(scores == scores, scores, float("inf")), axis=1, keep_dims=True)


@triton.jit
def members(label, CLASSES: tl.constexpr, PLANES: tl.constexpr):
    """Whether a pixel is of each plane's class: labels (PIXELS, 1) to int32 (PIXELS, PLANES)."""
    if CLASSES == 1:
        return label
    else:
        return (label == tl.arange(0, PLANES)[None, :]).to(tl.int32)


@triton.jit
def store_output(out_ptr, plane_stride, logits, pixel, pixels, CLASSES: tl.constexpr, OUTPUT: tl.constexpr):
    """Logits (PIXELS, padded classes) of one hypothesis at pixels `pixel` (PIXELS,), as OUTPUT to planes at out_ptr."""
    scores = class_scores(logits, CLASSES)
    PIXELS: tl.constexpr = scores.shape[0]
    PLANES: tl.constexpr = scores.shape[1]
    real = (pixel < pixels)[:, None]
    plane = tl.arange(0, PLANES)[None, :].to(tl.int64)
    if OUTPUT == "logits" or OUTPUT == "probs":
        result = scores if OUTPUT == "logits" else probabilities(scores, CLASSES)
        tl.store(out_ptr + plane * plane_stride + pixel[:, None], result, mask=real & (plane < CLASSES))
    else:
        label = decisions(scores, CLASSES)
        if OUTPUT == "labels":
            tl.store(out_ptr + pixel[:, None], label.to(tl.uint8), mask=real)
        else:
            bits = tl.reshape(tl.where(real, members(label, CLASSES, PLANES), 0), [PIXELS // 32, 32, PLANES])
            words = tl.sum(bits << tl.arange(0, 32)[None, :, None], axis=1)  # (PIXELS // 32, PLANES)
            word = (tl.min(pixel, axis=0) // 32 + tl.arange(0, PIXELS // 32))[:, None]
            tl.store(out_ptr + plane * plane_stride + word, words, mask=(word * 32 < pixels) & (plane < CLASSES))


@triton.jit
def entropy_terms(p):
    """-p log p, which is 0 at 0."""
    return -p * tl.log(tl.where(p == 0, 1.0, p))


@triton.jit
def add_to_sums(probability, entropy, volume_ptr, logits, pixel, pixels, CLASSES: tl.constexpr):
    """One hypothesis' logits (PIXELS, padded classes) added to the sums of these pixels, which are returned.

    Sums float32: probability (PIXELS, PLANES), entropy (PIXELS, 1) in nats; volumes int64 (CLASSES,) at volume_ptr.
    """
    scores = class_scores(logits, CLASSES)
    PLANES: tl.constexpr = scores.shape[1]
    plane = tl.arange(0, PLANES)
    member = tl.where((pixel < pixels)[:, None], members(decisions(scores, CLASSES), CLASSES, PLANES), 0)
    tl.atomic_add(volume_ptr + plane, tl.sum(member, axis=0).to(tl.int64), mask=plane < CLASSES, sem="relaxed")
    p = probabilities(scores, CLASSES)
    disorder = tl.sum(entropy_terms(p), axis=1, keep_dims=True)
    if CLASSES == 1:
        disorder += entropy_terms(1 - p)
    return probability + p, entropy + disorder


@triton.jit
def store_sums(probability_ptr, plane_stride, entropy_ptr, probability, entropy, pixel, pixels, CLASSES: tl.constexpr):
    """The sums of `add_to_sums` to planes at probability_ptr and to entropy_ptr."""
    real = (pixel < pixels)[:, None]
    plane = tl.arange(0, probability.shape[1])[None, :].to(tl.int64)
    tl.store(probability_ptr + plane * plane_stride + pixel[:, None], probability, mask=real & (plane < CLASSES))
    tl.store(entropy_ptr + pixel[:, None], entropy, mask=real)
