// Bounds of the logits of one block of pixels, for all first-layer offsets between `low` and `high`: interval arithmetic
// with the operations of `Dense` in its order, which therefore needs no margin for rounding (see pruning.py).
// Activations are rows of BOUNDED units in pairs, upper bounds and then lower ones.

template <class Number>
struct Bounds {
    typedef Dense<Number> D;
    typedef typename Number::unit unit;
    static constexpr int VECS = BOUNDED / LANES;
    static constexpr int TOGETHER = TILE / 2;  // output channels, for each has a lower and an upper sum

    static size_t activation_bytes(int channels) { return 2 * D::activation_bytes(channels); }

    // Bit i of `ones` is set where the logit of pixel i is positive for all offsets, and of `open` where its sign may
    // depend on them.
    INLINE void signs(const Job& job, const void* packed, const float* base, int64_t stride, const float* low,
                      const float* high, char* ping, char* pong, uint64_t& ones, uint64_t& open) {
        Number::first_bounds(base, stride, low, high, job.width, reinterpret_cast<unit*>(ping));
        const char* weights = static_cast<const char*>(packed);
        for (int l = 0; l + 1 < job.depth; l++) {
            unit* out = reinterpret_cast<unit*>(pong);
            for_tiles(job.layers[l], weights, ping, [out](int c, auto& sums) { Number::keep_bounds(sums, c, out); });
            weights += aligned(D::packed_bytes(job.layers[l]));
            char* swap = ping;
            ping = pong;
            pong = swap;
        }
        uint64_t above = 0, maybe = 0;
        for_tiles(job.layers[job.depth - 1], weights, ping, [&](int, auto& sums) {
            for (int v = 0; v < VECS; v++) {
                maybe |= uint64_t(positive(sums[0][v])) << (v * LANES);
                above |= uint64_t(positive(sums[0][VECS + v])) << (v * LANES);
            }
        });
        ones = above;
        open = maybe & ~above;
    }

    template <class Use>
    INLINE void for_tiles(const Layer& layer, const void* packed, const void* in, Use use) {
        const float* bias = static_cast<const float*>(packed);
        const unit* weight = reinterpret_cast<const unit*>(bias + D::padded(layer.out));
        const unit* act = static_cast<const unit*>(in);
        const int rows = D::rows(layer.in);
        if (layer.out == 1) return tile<1, LONE_PARTS>(act, rows, weight, 1, bias, 0, use);
        for (int c = 0; c < D::padded(layer.out); c += TOGETHER)
            tile<TOGETHER, 1>(act, rows, weight + int64_t(c / TILE * TILE) * rows + c % TILE, TILE, bias, c, use);
    }

    // Sums of COUNT channels: VECS vectors of upper bounds each, then as many of lower ones.
    template <int COUNT, int PARTS, class Use>
    INLINE void tile(const unit* in, int rows, const unit* weight, int step, const float* bias, int first, Use use) {
        alignas(64) vec sums[PARTS][COUNT][2 * VECS] = {};
        sum_in_order(sums, rows, bias + first,
                     [=](auto& part, int64_t r) { Number::add_bounds(part, in + 2 * r * BOUNDED, weight + r * step); });
        use(first, sums[0]);
    }
};
