// Bit i is set where labels[i] == wanted, for 32 labels.
INLINE uint32_t equal(const uint8_t* labels, uint8_t wanted) {
#if defined(USE_AVX2) || defined(USE_AVX512)
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(labels));
    return uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_set1_epi8(char(wanted)))));
#else
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++) bits |= uint32_t(labels[i] == wanted) << i;
    return bits;
#endif
}
