// Vectors of LANES floats, in the compiler's portable notation; only what that cannot say is spelled out per instruction
// set. Included by each of them in a namespace of its own, so that no function of one set is taken for another's.

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

INLINE vec load(const float* p) { return *reinterpret_cast<const vec*>(p); }
INLINE void store(float* p, vec x) { *reinterpret_cast<vec*>(p) = x; }
INLINE vec broadcast(float x) { return x - vec{}; }

// max(x, 0)
INLINE vec relu(vec x) {
#if defined(USE_AVX512)
    return _mm512_max_ps(_mm512_setzero_ps(), x);
#elif defined(USE_AVX2)
    return _mm256_max_ps(_mm256_setzero_ps(), x);
#else
    return x < 0.0f ? vec{} : x;
#endif
}

// Bit i is set where x[i] > 0.
INLINE unsigned positive(vec x) {
#if defined(USE_AVX512)
    return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ);
#elif defined(USE_AVX2)
    return unsigned(_mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ)));
#else
    unsigned bits = 0;
    for (int i = 0; i < LANES; i++) bits |= unsigned(x[i] > 0.0f) << i;
    return bits;
#endif
}

// The lanes of x whose bit is set in `kept`, side by side, to `out`, which has room for LANES floats.
INLINE void compress(float* out, vec x, unsigned kept) {
#if defined(USE_AVX512)
    store(out, _mm512_maskz_compress_ps(__mmask16(kept), x));
#else
    for (int i = 0; i < LANES; i++) {
        *out = x[i];
        out += kept >> i & 1;
    }
#endif
}

// The lowest bits of x, in order, at the places of the bits of `mask`.
INLINE uint64_t deposit(uint64_t x, uint64_t mask) {
#if defined(USE_AVX512)
    return _pdep_u64(x, mask);
#else
    uint64_t out = 0;
    for (; mask; mask &= mask - 1, x >>= 1) out |= (x & 1) * (mask & -mask);
    return out;
#endif
}

// exp(x) for x <= 0, to 2 ulp; 0 below -87.3. x = m log 2 + r, and a Taylor series for |r| <= log(2) / 2.
INLINE vec exp_negative(vec x) {
    const float smallest = -87.3f, log2_high = 0.693359375f, log2_low = -2.12194440e-4f;
    vec clamped = x < smallest ? broadcast(smallest) : x;
    const float shifter = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    vec m = (clamped * 1.44269504f + shifter) - shifter;
    vec r = (clamped - m * log2_high) - m * log2_low;
    vec p = broadcast(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    ivec power = (__builtin_convertvector(m, ivec) + 127) << 23;
    return x < smallest ? vec{} : p * reinterpret_cast<vec&>(power);
}

// log(x) for normal x > 0: x = 2^e f with f near 1, and log f = 2 atanh((f - 1) / (f + 1)).
INLINE vec log_positive(vec x) {
    ivec bits = reinterpret_cast<ivec&>(x);
    ivec e = (bits - 0x3f3504f3) >> 23;  // the offset brings f into [sqrt(1/2), sqrt(2))
    ivec f_bits = bits - (e << 23);
    vec f = reinterpret_cast<vec&>(f_bits), s = (f - 1.0f) / (f + 1.0f), q = s * s;
    vec p = broadcast(1.0f / 9);
    p = p * q + 1.0f / 7;
    p = p * q + 1.0f / 5;
    p = p * q + 1.0f / 3;
    p = p * q + 1.0f;
    return __builtin_convertvector(e, vec) * 0.693147181f + 2.0f * s * p;
}
