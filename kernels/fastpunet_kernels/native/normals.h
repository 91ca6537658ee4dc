// Standard normals, LANES counters at a time: Philox4x32-10 and Box-Muller as in philox.cpp, word for word the same, and
// logarithm, sine and cosine to a few units in the last place.

typedef uint32_t uvec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE uvec all(uint32_t x) { return x - uvec{}; }

// The high and low halves of the products x * factor.
INLINE void multiply(uvec x, uint32_t factor, uvec& high, uvec& low) {
#if defined(USE_AVX512)
    const __m512i by = _mm512_set1_epi32(int(factor)), a = reinterpret_cast<__m512i>(x);
    const __m512i even = _mm512_mul_epu32(a, by), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), by);
    high = reinterpret_cast<uvec>(_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB));
    low = reinterpret_cast<uvec>(_mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA));
#elif defined(USE_AVX2)
    const __m256i by = _mm256_set1_epi32(int(factor)), a = reinterpret_cast<__m256i>(x);
    const __m256i even = _mm256_mul_epu32(a, by), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), by);
    high = reinterpret_cast<uvec>(_mm256_blend_epi32(_mm256_shuffle_epi32(even, 0xf5), odd, 0xaa));
    low = reinterpret_cast<uvec>(_mm256_blend_epi32(even, _mm256_shuffle_epi32(odd, 0xa0), 0xaa));
#else
    for (int i = 0; i < LANES; i++) {
        const uint64_t product = uint64_t(x[i]) * factor;
        high[i] = uint32_t(product >> 32);
        low[i] = uint32_t(product);
    }
#endif
}

// The nearest floats.
INLINE vec rounded(uvec x) {
#if defined(USE_AVX512)
    return _mm512_cvtepu32_ps(reinterpret_cast<__m512i>(x));
#else
    const uvec high = x >> 16, low = x & 0xffff;
    return __builtin_convertvector(reinterpret_cast<const ivec&>(high), vec) * 65536.0f +
           __builtin_convertvector(reinterpret_cast<const ivec&>(low), vec);
#endif
}

INLINE vec uniform(uvec word) { return rounded(word) * 0x1p-32f + 0x1p-33f; }

INLINE vec square_root(vec x) {
#if defined(USE_AVX512)
    return _mm512_sqrt_ps(x);
#elif defined(USE_AVX2)
    return _mm256_sqrt_ps(x);
#else
    for (int i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

// Two words to two normals. The angle, 0 <= angle <= 2 pi, is r and a multiple of pi / 2, with |r| <= pi / 4; the series
// are those of the Cephes library.
INLINE void box_muller(uvec first, uvec second, vec& cosine, vec& sine) {
    const vec radius = square_root(-2.0f * log_positive(uniform(first))), angle = 6.2831853071795864f * uniform(second);
    const float shifter = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    const vec quarters = (angle * 0.636619772f + shifter) - shifter;
    const vec r = ((angle - quarters * 1.5703125f) - quarters * 4.8375129699707e-4f) - quarters * 7.5497899548e-8f, z = r * r;
    vec s = broadcast(-1.9515295891e-4f), c = broadcast(2.443315711809948e-5f);
    s = (s * z + 8.3321608736e-3f) * z - 1.6666654611e-1f;
    s = s * z * r + r;
    c = (c * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f;
    c = c * z * z - 0.5f * z + 1.0f;
    const ivec quadrant = __builtin_convertvector(quarters, ivec), odd = (quadrant & 1) != 0;
    const vec along = odd ? s : c, across = odd ? c : s;
    const ivec turned = reinterpret_cast<const ivec&>(along) ^ (((quadrant + 1) & 2) << 30);
    const ivec raised = reinterpret_cast<const ivec&>(across) ^ ((quadrant & 2) << 30);
    cosine = radius * reinterpret_cast<const vec&>(turned);
    sine = radius * reinterpret_cast<const vec&>(raised);
}

// x[q][i] to place 4 i + q of the four vectors.
INLINE void interleave(const vec x[4], vec out[4]) {
#if defined(USE_AVX512)
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    const __m512 a = _mm512_permutex2var_ps(x[0], low, x[2]), b = _mm512_permutex2var_ps(x[1], low, x[3]);
    const __m512 c = _mm512_permutex2var_ps(x[0], high, x[2]), d = _mm512_permutex2var_ps(x[1], high, x[3]);
    out[0] = _mm512_permutex2var_ps(a, low, b);
    out[1] = _mm512_permutex2var_ps(a, high, b);
    out[2] = _mm512_permutex2var_ps(c, low, d);
    out[3] = _mm512_permutex2var_ps(c, high, d);
#elif defined(USE_AVX2)
    const __m256 a = _mm256_unpacklo_ps(x[0], x[2]), b = _mm256_unpacklo_ps(x[1], x[3]);
    const __m256 c = _mm256_unpackhi_ps(x[0], x[2]), d = _mm256_unpackhi_ps(x[1], x[3]);
    const __m256 first = _mm256_unpacklo_ps(a, b), second = _mm256_unpackhi_ps(a, b);
    const __m256 third = _mm256_unpacklo_ps(c, d), fourth = _mm256_unpackhi_ps(c, d);
    out[0] = _mm256_permute2f128_ps(first, second, 0x20);
    out[1] = _mm256_permute2f128_ps(third, fourth, 0x20);
    out[2] = _mm256_permute2f128_ps(first, second, 0x31);
    out[3] = _mm256_permute2f128_ps(third, fourth, 0x31);
#else
    for (int i = 0; i < 4 * LANES; i++) out[i / LANES][i % LANES] = x[i % 4][i / 4];
#endif
}

// Whose numbers they are: the words of a Philox counter and key that are the same for all pixels.
struct NoiseOf {
    uint64_t seed, id;
    uint32_t hypothesis;
};

// Normals number 4 block .. 4 block + 4 LANES - 1.
INLINE void normals(const NoiseOf& of, uint32_t block, vec out[4]) {
    uvec w0 = all(of.hypothesis), w1 = all(block), w2 = all(uint32_t(of.id)), w3 = all(uint32_t(of.id >> 32));
    for (int i = 0; i < LANES; i++) w1[i] += uint32_t(i);
    uint32_t k0 = uint32_t(of.seed), k1 = uint32_t(of.seed >> 32);
    for (int round = 0; round < 10; round++) {
        uvec left_high, left_low, right_high, right_low;
        multiply(w0, 0xD2511F53u, left_high, left_low);
        multiply(w2, 0xCD9E8D57u, right_high, right_low);
        w0 = right_high ^ w1 ^ k0;
        w1 = right_low;
        w2 = left_high ^ w3 ^ k1;
        w3 = left_low;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    vec each[4];
    box_muller(w0, w1, each[0], each[1]);
    box_muller(w2, w3, each[2], each[3]);
    interleave(each, out);
}
