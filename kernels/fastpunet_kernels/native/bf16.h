// Pairs of channels in bfloat16, the unit of AVX-512's dot product (vdpbf16ps) and of AMX's tiles: operands are rounded to
// nearest even, numbers below the smallest normal one become zero, sums are float32.

// Two channels of LANES pixels to one row of pairs.
INLINE __m512i pairs(vec even, vec odd) {
    const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,  //
                                                23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(interleave, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

struct Bfloat16 {
    typedef uint32_t unit;
    typedef __m512i units;
    static constexpr int PER_UNIT = 2;

    static uint32_t weight(const float* w) {
        __m128 both = _mm_setr_ps(w[0], w[1], 0.0f, 0.0f);
        return uint32_t(_mm_cvtsi128_si32((__m128i)_mm_cvtneps_pbh(both)));
    }
    INLINE __m512i load_units(const uint32_t* p) { return _mm512_loadu_si512(p); }
    INLINE vec multiply_add(vec sum, uint32_t w, __m512i x) {
        return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32(int(w)), (__m512bh)x);
    }

    INLINE void first(const float* base, int64_t stride, const float* offset, int width, uint32_t* act) {
        for (int c = 0; c < width; c += 2)
#pragma GCC unroll 8
            for (int v = 0; v < BLOCK; v += LANES) {
                vec even = relu(load(base + c * stride + v) + broadcast(offset[c])), odd = {};
                if (c + 1 < width) odd = relu(load(base + (c + 1) * stride + v) + broadcast(offset[c + 1]));
                _mm512_storeu_si512(act + c / 2 * BLOCK + v, pairs(even, odd));
            }
    }

    template <int COUNT, int VECS>
    INLINE void keep(vec (&sums)[COUNT][VECS], int first, uint32_t* act) {
#pragma GCC unroll 16
        for (int c = 0; c < COUNT; c += 2)
#pragma GCC unroll 8
            for (int v = 0; v < VECS; v++) {
                vec odd = c + 1 < COUNT ? relu(sums[(c + 1) % COUNT][v]) : vec{};
                _mm512_storeu_si512(act + (first + c) / 2 * BLOCK + v * LANES, pairs(relu(sums[c][v]), odd));
            }
    }

    // For Bounds, as in Float32. The two weights of a pair may have different signs.
    template <int COUNT, int SUMS>
    INLINE void add_bounds(vec (&sums)[COUNT][SUMS], const uint32_t* in, const uint32_t* weight) {
        constexpr int VECS = SUMS / 2;
        __m512i upper[VECS], lower[VECS];
#pragma GCC unroll 8
        for (int v = 0; v < VECS; v++) {
            upper[v] = load_units(in + v * LANES);
            lower[v] = load_units(in + BOUNDED + v * LANES);
        }
#pragma GCC unroll 16
        for (int c = 0; c < COUNT; c++) {
            const __mmask32 negative = _mm512_movepi16_mask(_mm512_set1_epi32(int(weight[c])));
#pragma GCC unroll 8
            for (int v = 0; v < VECS; v++) {
                const __m512i most = _mm512_mask_blend_epi16(negative, upper[v], lower[v]);
                const __m512i least = _mm512_mask_blend_epi16(negative, lower[v], upper[v]);
                sums[c][v] = multiply_add(sums[c][v], weight[c], most);
                sums[c][VECS + v] = multiply_add(sums[c][VECS + v], weight[c], least);
            }
        }
    }

    INLINE void first_bounds(const float* base, int64_t stride, const float* low, const float* high, int width, uint32_t* act) {
        for (int c = 0; c < width; c += 2)
#pragma GCC unroll 8
            for (int v = 0; v < BOUNDED; v += LANES) {
                const bool pair = c + 1 < width;
                const vec even = load(base + c * stride + v), odd = pair ? load(base + (c + 1) * stride + v) : vec{};
                const vec odd_most = pair ? relu(odd + broadcast(high[c + 1])) : vec{};
                const vec odd_least = pair ? relu(odd + broadcast(low[c + 1])) : vec{};
                _mm512_storeu_si512(act + c * BOUNDED + v, pairs(relu(even + broadcast(high[c])), odd_most));
                _mm512_storeu_si512(act + (c + 1) * BOUNDED + v, pairs(relu(even + broadcast(low[c])), odd_least));
            }
    }

    template <int COUNT, int SUMS>
    INLINE void keep_bounds(vec (&sums)[COUNT][SUMS], int first, uint32_t* act) {
#pragma GCC unroll 16
        for (int c = 0; c < COUNT; c += 2)
#pragma GCC unroll 16
            for (int v = 0; v < SUMS; v++) {
                const vec odd = c + 1 < COUNT ? relu(sums[(c + 1) % COUNT][v]) : vec{};
                _mm512_storeu_si512(act + (first + c) * BOUNDED + v * LANES, pairs(relu(sums[c][v]), odd));
            }
    }
};
