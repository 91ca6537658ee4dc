// Logits of one block of pixels and one hypothesis, channel by channel, to the output that was asked for.
// The decision rule is logit > 0 for one class and the first largest logit for several.

struct Block {
    int64_t image, first;  // of its pixels
    int count;             // pixels that exist, <= BLOCK
};

// What a block gathers over its hypotheses for Output::sums.
struct Sums {
    double* probability;  // (classes, BLOCK)
    double* entropy;      // (BLOCK,)
};

// The class of each pixel, in `best`. No logit is NaN: decode.cpp refuses what could make it so.
INLINE void decide(const float* logits, int classes, int32_t* best) {
    for (int v = 0; v < BLOCK; v += LANES) {
        vec top = load(logits + v);
        ivec index = {};
        for (int c = 1; c < classes; c++) {
            vec x = load(logits + c * BLOCK + v);
            ivec wins = x > top;
            top = wins ? x : top;
            index = wins ? c - ivec{} : index;
        }
        *reinterpret_cast<ivec*>(best + v) = index;
    }
}

// 1 where best == c, else 0.
INLINE vec is_equal(const int32_t* best, int c) {
    ivec same = *reinterpret_cast<const ivec*>(best) == c;
    return __builtin_convertvector(-same, vec);
}

// Probabilities in place of the logits, by sigmoid or softmax, and the entropy of each pixel in nats.
INLINE void normalise(float* logits, int classes, float* entropy) {
    for (int v = 0; v < BLOCK; v += LANES) {
        if (classes == 1) {
            vec x = load(logits + v), away = x < 0.0f ? x : -x, t = exp_negative(away), s = 1.0f / (1.0f + t);
            store(entropy + v, log_positive(1.0f + t) - (away < -87.0f ? vec{} : away * t * s));
            store(logits + v, x < 0.0f ? t * s : s);
            continue;
        }
        vec top = load(logits + v), total = {}, weighted = {};
        for (int c = 1; c < classes; c++) {
            vec x = load(logits + c * BLOCK + v);
            top = x > top ? x : top;
        }
        for (int c = 0; c < classes; c++) {
            vec x = load(logits + c * BLOCK + v) - top, t = exp_negative(x);
            total += t;
            weighted += x < -87.0f ? vec{} : x * t;
            store(logits + c * BLOCK + v, t);
        }
        vec scale = 1.0f / total;
        for (int c = 0; c < classes; c++) store(logits + c * BLOCK + v, load(logits + c * BLOCK + v) * scale);
        store(entropy + v, log_positive(total) - weighted * scale);
    }
}

// Bit i is set where pixel i is of class c; bits beyond the last pixel are not.
INLINE uint64_t class_bits(const float* logits, const int32_t* best, int classes, int c, int count) {
    uint64_t bits = 0;
    for (int v = 0; v < BLOCK; v += LANES) {
        vec x = classes == 1 ? load(logits + v) : is_equal(best + v, c);
        bits |= uint64_t(positive(x)) << v;
    }
    return count == BLOCK ? bits : bits & ((uint64_t(1) << count) - 1);
}

INLINE void finish(const Job& job, const Block& block, int64_t k, float* logits, Sums sums) {
    const int classes = job.classes, count = block.count;
    const int64_t row = block.image * job.n + k;
    alignas(64) int32_t best[BLOCK];
    const bool decided = job.output == Output::labels || job.output == Output::bits || job.output == Output::sums;
    if (decided && classes > 1) decide(logits, classes, best);
    switch (job.output) {
        case Output::bits: {
            const int64_t row_bytes = (job.pixels + 31) / 32 * 4;
            for (int c = 0; c < classes; c++) {
                const uint64_t bits = class_bits(logits, best, classes, c, count);
                uint8_t* out = static_cast<uint8_t*>(job.out) + (row * classes + c) * row_bytes + block.first / 8;
                if (count == BLOCK)
                    memcpy(out, &bits, BLOCK / 8);
                else
                    memcpy(out, &bits, size_t(count + 7) / 8);
            }
            break;
        }
        case Output::labels: {
            uint8_t* out = static_cast<uint8_t*>(job.out) + row * job.pixels + block.first;
            if (classes == 1)
                for (int i = 0; i < count; i++) out[i] = logits[i] > 0.0f;
            else
                for (int i = 0; i < count; i++) out[i] = uint8_t(best[i]);
            break;
        }
        case Output::sums: {
            for (int c = 0; c < classes; c++) {
                const int pixels = __builtin_popcountll(class_bits(logits, best, classes, c, count));
                if (pixels) __atomic_fetch_add(job.volume + row * classes + c, int64_t(pixels), __ATOMIC_RELAXED);
            }
            alignas(64) float entropy[BLOCK];
            normalise(logits, classes, entropy);
            for (int i = 0; i < classes * BLOCK; i++) sums.probability[i] += double(logits[i]);
            for (int i = 0; i < BLOCK; i++) sums.entropy[i] += double(entropy[i]);
            break;
        }
        case Output::probs: {
            alignas(64) float entropy[BLOCK];
            normalise(logits, classes, entropy);
            [[fallthrough]];
        }
        case Output::logits: {
            float* out = static_cast<float*>(job.out) + row * classes * job.pixels + block.first;
            for (int c = 0; c < classes; c++) memcpy(out + c * job.pixels, logits + c * BLOCK, 4 * size_t(count));
            break;
        }
    }
}
