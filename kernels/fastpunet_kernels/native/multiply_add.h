// Nothing but multiply-adds, in as many chains as hide their latency: the rate that no kernel can exceed.
// Returns the floating-point operations done.
INLINE double multiply_add(int64_t rounds) {
    constexpr int CHAINS = 12;
    vec chains[CHAINS];
    for (int i = 0; i < CHAINS; i++) chains[i] = broadcast(float(i + 2));  // none is a constant that the compiler sees
    const vec x = broadcast(0.5f);
    for (int64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) chains[i] = chains[i] * x + x;
    }
    float sum = 0;
    for (auto& chain : chains) sum += chain[0];
    return sum > 0 ? 2.0 * CHAINS * LANES * double(rounds) : 0.0;
}
