// Pixels that four by four packed masks share: AND and population count, 16 sums in registers.

#if defined(USE_VPOPCNTDQ)

// Sums over the eight lanes of eight vectors, in order: neighbours first, then pairs of lanes, twice.
INLINE __m512i pairs_of_lanes(__m512i x, __m512i y) {
    return _mm512_add_epi64(_mm512_shuffle_i64x2(x, y, 0x88), _mm512_shuffle_i64x2(x, y, 0xdd));
}

INLINE __m256i sums_of_lanes(const __m512i x[8]) {
    __m512i two[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        two[i] = _mm512_add_epi64(_mm512_unpacklo_epi64(x[2 * i], x[2 * i + 1]), _mm512_unpackhi_epi64(x[2 * i], x[2 * i + 1]));
    return _mm512_cvtepi64_epi32(pairs_of_lanes(pairs_of_lanes(two[0], two[1]), pairs_of_lanes(two[2], two[3])));
}

// Adds the bits that x and y share in 16 words, of which `exist`.
INLINE void add_words(__m512i sums[16], const uint32_t* const a[4], const uint32_t* const b[4], int64_t word, __mmask16 exist) {
    __m512i x[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) x[i] = _mm512_maskz_loadu_epi32(exist, a[i] + word);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m512i y = _mm512_maskz_loadu_epi32(exist, b[j] + word);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            sums[4 * i + j] = _mm512_add_epi64(sums[4 * i + j], _mm512_popcnt_epi64(_mm512_and_si512(x[i], y)));
    }
}

INLINE void overlap(const uint32_t* const a[4], const uint32_t* const b[4], int64_t words, int32_t shared[16]) {
    __m512i sums[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) sums[i] = _mm512_setzero_si512();
    int64_t word = 0;
    for (; word + 16 <= words; word += 16) add_words(sums, a, b, word, 0xffff);
    if (word < words) add_words(sums, a, b, word, __mmask16((1u << (words - word)) - 1));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(shared), sums_of_lanes(sums));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(shared + 8), sums_of_lanes(sums + 8));
}

#else

INLINE uint64_t two_words(const uint32_t* p) {
    uint64_t both;
    memcpy(&both, p, 8);
    return both;
}

INLINE void overlap(const uint32_t* const a[4], const uint32_t* const b[4], int64_t words, int32_t shared[16]) {
    int64_t sums[16] = {};
    int64_t w = 0;
    for (; w + 2 <= words; w += 2) {
        uint64_t x[4], y[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) x[i] = two_words(a[i] + w), y[i] = two_words(b[i] + w);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) sums[4 * i + j] += __builtin_popcountll(x[i] & y[j]);
    }
    for (int i = 0; i < 16; i++) {
        if (w < words) sums[i] += __builtin_popcount(a[i / 4][w] & b[i % 4][w]);
        shared[i] = int32_t(sums[i]);
    }
}

#endif
