// What blocks.h asks of an instruction set.

typedef int64_t eight_longs __attribute__((vector_size(64), aligned(8), may_alias));
typedef double eight_doubles __attribute__((vector_size(64), aligned(8), may_alias));

INLINE eight_longs longs(const int64_t* p) { return *reinterpret_cast<const eight_longs*>(p); }
INLINE eight_doubles doubles(const double* p) { return *reinterpret_cast<const eight_doubles*>(p); }

static void transpose(uint64_t words[64]) {
    uint64_t kept = 0xffffffff;
    for (int step = 32; step > 0; step /= 2, kept ^= kept << step)
        for (int first = 0; first < 64; first += 2 * step)
            for (int i = first; i < first + step; i++) {
                const uint64_t swapped = ((words[i] >> step) ^ words[i + step]) & kept;
                words[i] ^= swapped << step;
                words[i + step] ^= swapped;
            }
}

static void add_shared(uint64_t one, const uint64_t words[ALIKE], int32_t sums[ALIKE]) {
    for (int m = 0; m < ALIKE; m++) sums[m] += int32_t(__builtin_popcountll(one & words[m]));
}

// Eight masks of a by eight of b.
INLINE void count_eight(const SharedPixels& t, int i, int j) {
#if defined(USE_VPOPCNTDQ)
    __m512i sums[8];
#pragma GCC unroll 8
    for (int r = 0; r < 8; r++) sums[r] = _mm512_setzero_si512();
    for (int w = 0; w < t.count; w++) {
        const int64_t first = int64_t(t.words[w]) * ALIKE;
        const __m512i y = _mm512_loadu_si512(t.b + first + j);
#pragma GCC unroll 8
        for (int r = 0; r < 8; r++) {
            const __m512i x = _mm512_set1_epi64(int64_t(t.a[first + i + r]));
            sums[r] = _mm512_add_epi64(sums[r], _mm512_popcnt_epi64(_mm512_and_si512(x, y)));
        }
    }
    const __m512i of_b = _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(t.of_b + j)));
#pragma GCC unroll 8
    for (int r = 0; r < 8; r++) {
        const __m512i rest = _mm512_add_epi64(of_b, _mm512_set1_epi64(t.of_a[i + r]));
        _mm512_storeu_pd(t.shared + (i + r) * ALIKE + j, _mm512_cvtepi64_pd(_mm512_add_epi64(sums[r], rest)));
    }
#else
    for (int r = i; r < i + 8; r++) {
        int64_t sums[8] = {};
        for (int w = 0; w < t.count; w++) {
            const int64_t first = int64_t(t.words[w]) * ALIKE;
#pragma GCC unroll 8
            for (int c = 0; c < 8; c++) sums[c] += __builtin_popcountll(t.a[first + r] & t.b[first + j + c]);
        }
        for (int c = 0; c < 8; c++) t.shared[r * ALIKE + j + c] = double(t.of_a[r] + t.of_b[j + c] + sums[c]);
    }
#endif
}

static void count_shared(const SharedPixels& t) {
    for (int i = 0; i < ALIKE; i += 8)
        for (int j = 0; j < ALIKE; j += 8) count_eight(t, i, j);
}

// The mean IoU of mask i and masks j .. j + 7. ONE: there is one class; EMPTIES: as in Distances; SKIPS: what is empty in
// both masks does not count.
template <bool ONE, bool EMPTIES, bool SKIPS>
INLINE eight_doubles mean_iou(const Distances& t, int i, int j, eight_doubles& counted) {
    const int classes = ONE ? 1 : t.classes;
    eight_doubles iou = {};
    counted = iou + (SKIPS ? 0.0 : double(classes));
    for (int k = 0; k < classes; k++) {
        const eight_doubles shared = doubles(t.shared + (k * ALIKE + i) * ALIKE + j);
        const eight_doubles either = doubles(t.areas_b + k * ALIKE + j) + t.areas_a[k * ALIKE + i] - shared;
        const eight_doubles ratio = shared / either;
        iou += EMPTIES ? (either == 0 ? eight_doubles{} + (SKIPS ? 0.0 : t.empty) : ratio) : ratio;
        if (SKIPS) counted += either == 0 ? eight_doubles{} : eight_doubles{} + 1.0;
    }
    return ONE ? iou : iou / counted;
}

// How often the pairs of mask i and masks j .. j + 7 count.
INLINE eight_longs times_of(const Distances& t, int i, int j) {
    const eight_longs times = longs(t.times_b + j);
    if (!t.diagonal) return times;
    const eight_longs column = eight_longs{0, 1, 2, 3, 4, 5, 6, 7} + int64_t(j);
    const eight_longs row = eight_longs{} + int64_t(i);
    return column > row ? 2 * times : column == row ? times : eight_longs{};
}

INLINE uint64_t sum_of(eight_longs x) {
    uint64_t sum = 0;
    for (int i = 0; i < 8; i++) sum += uint64_t(x[i]);
    return sum;
}

// Halves of whole numbers, each so many times.
struct EightSums {
    eight_longs low = {}, high = {};

    __attribute__((always_inline)) void add(eight_longs units, eight_longs times) {
        low += (units & 0xffffffff) * times;
        high += (units >> 32) * times;
    }
};

// A distance 1 - x is a whole number of 2^-53, at most 2^53 of them, so that 1024 of them fit 64 bits.
template <bool ONE, bool EMPTIES>
static HalfSums add_plain_as(const Distances& t) {
    EightSums all;
    for (int i = 0; i < ALIKE; i++) {
        eight_longs sums = {};
        eight_doubles counted;
#pragma GCC unroll 4
        for (int j = 0; j < ALIKE; j += 8) {
            const eight_doubles units = (1.0 - mean_iou<ONE, EMPTIES, false>(t, i, j, counted)) * 0x1p53;
            sums += __builtin_convertvector(units, eight_longs) * times_of(t, i, j);
        }
        all.add(sums, eight_longs{} + t.times_a[i]);
    }
    return {sum_of(all.low) << 9, sum_of(all.high) << 9};
}

static HalfSums add_plain(const Distances& t) {
    if (t.classes == 1) return t.empties ? add_plain_as<true, true>(t) : add_plain_as<true, false>(t);
    return t.empties ? add_plain_as<false, true>(t) : add_plain_as<false, false>(t);
}

INLINE eight_longs units_of(eight_doubles term) { return __builtin_convertvector(term * 0x1p62 + 0.5, eight_longs); }

template <bool SKIPS>
static void add_as(const Distances& t, HalfSums distances[ALIKE], HalfSums weights[ALIKE]) {
    for (int i = 0; i < ALIKE; i++) {
        EightSums distance, weight;
        for (int j = 0; j < ALIKE; j += 8) {
            eight_doubles counted;
            eight_doubles mean = mean_iou<false, true, SKIPS>(t, i, j, counted);
            eight_longs times = times_of(t, i, j);
            if (SKIPS) {
                mean = counted == 0 ? eight_doubles{} : mean;
                times = counted == 0 ? eight_longs{} : times;
            }
            const eight_doubles both = doubles(t.weights_b + j) * t.weights_a[i];
            distance.add(units_of(both * (1.0 - mean)), times);
            weight.add(units_of(both), times);
        }
        distances[i] = {sum_of(distance.low), sum_of(distance.high)};
        weights[i] = {sum_of(weight.low), sum_of(weight.high)};
    }
}

static void add(const Distances& t, HalfSums distances[ALIKE], HalfSums weights[ALIKE]) {
    t.empty == t.empty ? add_as<false>(t, distances, weights) : add_as<true>(t, distances, weights);
}

static const BlockKernel blocks = {transpose, add_shared, count_shared, add, add_plain};
