// A layer on vector registers. A register tile is TILE output channels by one block of pixels. Activations are rows of
// BLOCK units; Number says what a unit is: one channel in float32, or a pair of channels in bfloat16.
// Packed: biases, then weights tile by tile, (rows, TILE) units each, padded with zeros; one lone channel is not padded.

// A lone channel has registers to spare for several sums, which wait less for one another and round less.
constexpr int LONE_PARTS = TILE / 2;

// `rows` products, then the bias, added to zeros: the order in which a layer is summed. `add_row` adds one row's products to
// a part of the sums. The bias comes last, as in PyTorch: a large one would cost the small terms their last bits.
template <int PARTS, int COUNT, int SUMS, class AddRow>
INLINE void sum_in_order(vec (&sums)[PARTS][COUNT][SUMS], int rows, const float* bias, AddRow add_row) {
    int64_t r = 0;  // 64 bits, so that addresses need no sign extension
    for (; r + PARTS <= rows; r += PARTS)
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; p++) add_row(sums[p], r + p);
    for (; r < rows; r++) add_row(sums[0], r);
#pragma GCC unroll 16
    for (int c = 0; c < COUNT; c++)
#pragma GCC unroll 8
        for (int v = 0; v < SUMS; v++) {
#pragma GCC unroll 4
            for (int p = 1; p < PARTS; p++) sums[0][c][v] += sums[p][c][v];
            sums[0][c][v] += broadcast(bias[c]);
        }
}

template <class Number>
struct Dense {
    typedef typename Number::unit unit;
    static constexpr int VECS = BLOCK / LANES;

    static void enter() {}
    static void leave() {}

    static int rows(int channels) { return (channels + Number::PER_UNIT - 1) / Number::PER_UNIT; }
    static int padded(int out) { return out == 1 ? 1 : (out + TILE - 1) / TILE * TILE; }
    static size_t activation_bytes(int channels) { return sizeof(unit) * size_t(rows(channels + TILE)) * BLOCK; }
    static size_t packed_bytes(const Layer& layer) { return 4 * size_t(padded(layer.out)) * size_t(rows(layer.in) + 1); }

    static void pack(const Layer& layer, void* packed) {
        float* bias = static_cast<float*>(packed);
        unit* weight = reinterpret_cast<unit*>(bias + padded(layer.out));
        const int tile = layer.out == 1 ? 1 : TILE;
        for (int c = 0; c < padded(layer.out); c++) {
            const bool real = c < layer.out;
            bias[c] = real ? layer.bias[c] : 0.0f;
            for (int r = 0; r < rows(layer.in); r++) {
                const int i = r * Number::PER_UNIT;
                float w[2] = {};
                for (int j = 0; real && j < Number::PER_UNIT && i + j < layer.in; j++)
                    w[j] = layer.weight[int64_t(c) * layer.in + i + j];
                weight[int64_t(c / tile) * tile * rows(layer.in) + r * tile + c % tile] = Number::weight(w);
            }
        }
    }

    INLINE void first(const float* base, int64_t stride, const float* offset, int width, void* act) {
        Number::first(base, stride, offset, width, static_cast<unit*>(act));
    }

    INLINE void hidden(const Layer& layer, const void* packed, const void* in, void* out) {
        for_tiles(layer, packed, in, [out](int c, auto& sums) { Number::keep(sums, c, static_cast<unit*>(out)); });
    }

    INLINE void last(const Layer& layer, const void* packed, const void* in, float* logits) {
        for_tiles(layer, packed, in, [logits](int first, auto& sums) {
            int c = first;
            for (auto& channel : sums) {
#pragma GCC unroll 8
                for (int v = 0; v < VECS; v++) store(logits + c * BLOCK + v * LANES, channel[v]);
                c++;
            }
        });
    }

    template <class Use>
    INLINE void for_tiles(const Layer& layer, const void* packed, const void* in, Use use) {
        const float* bias = static_cast<const float*>(packed);
        const unit* weight = reinterpret_cast<const unit*>(bias + padded(layer.out));
        const unit* act = static_cast<const unit*>(in);
        if (layer.out == 1) return tile<1>(act, rows(layer.in), weight, bias, 0, use);
        for (int c = 0; c < padded(layer.out); c += TILE)
            tile<TILE>(act, rows(layer.in), weight + int64_t(c) * rows(layer.in), bias, c, use);
    }

    template <int COUNT, class Use>
    INLINE void tile(const unit* in, int rows, const unit* weight, const float* bias, int first, Use use) {
        alignas(64) vec sums[COUNT > 1 ? 1 : LONE_PARTS][COUNT][VECS] = {};
        sum_in_order(sums, rows, bias + first,
                     [=](auto& part, int64_t r) { add_row(part, in + r * BLOCK, weight + r * COUNT); });
        use(first, sums[0]);
    }

    template <int COUNT>
    INLINE void add_row(vec (&sums)[COUNT][VECS], const unit* in, const unit* weight) {
        typename Number::units x[VECS];
#pragma GCC unroll 8
        for (int v = 0; v < VECS; v++) x[v] = Number::load_units(in + v * LANES);
#pragma GCC unroll 16
        for (int c = 0; c < COUNT; c++)
#pragma GCC unroll 8
            for (int v = 0; v < VECS; v++) sums[c][v] = Number::multiply_add(sums[c][v], weight[c], x[v]);
    }
};

struct Float32 {
    typedef float unit;
    typedef vec units;
    static constexpr int PER_UNIT = 1;

    static float weight(const float* w) { return w[0]; }
    INLINE vec load_units(const float* p) { return load(p); }
    INLINE vec multiply_add(vec sum, float w, vec x) { return sum + broadcast(w) * x; }

    INLINE void first(const float* base, int64_t stride, const float* offset, int width, float* act) {
        for (int c = 0; c < width; c++)
#pragma GCC unroll 8
            for (int v = 0; v < BLOCK; v += LANES)
                store(act + c * BLOCK + v, relu(load(base + c * stride + v) + broadcast(offset[c])));
    }

    template <int COUNT, int VECS>
    INLINE void keep(vec (&sums)[COUNT][VECS], int first, float* act) {
#pragma GCC unroll 16
        for (int c = 0; c < COUNT; c++)
#pragma GCC unroll 8
            for (int v = 0; v < VECS; v++) store(act + (first + c) * BLOCK + v * LANES, relu(sums[c][v]));
    }

    // For Bounds: one row's products, where the sign of a weight says which bound makes the sum largest; the first layer; what
    // a layer leaves.
    template <int COUNT, int SUMS>
    INLINE void add_bounds(vec (&sums)[COUNT][SUMS], const float* in, const float* weight) {
        constexpr int VECS = SUMS / 2;
#pragma GCC unroll 16
        for (int c = 0; c < COUNT; c++) {
            uint32_t bits;
            memcpy(&bits, weight + c, 4);
            const int64_t from = (bits >> 31) * int64_t(BOUNDED);
            const float *most = in + from, *least = in + BOUNDED - from;
#pragma GCC unroll 8
            for (int v = 0; v < VECS; v++) {
                sums[c][v] = multiply_add(sums[c][v], weight[c], load(most + v * LANES));
                sums[c][VECS + v] = multiply_add(sums[c][VECS + v], weight[c], load(least + v * LANES));
            }
        }
    }

    INLINE void first_bounds(const float* base, int64_t stride, const float* low, const float* high, int width, float* act) {
        for (int c = 0; c < width; c++)
#pragma GCC unroll 8
            for (int v = 0; v < BOUNDED; v += LANES) {
                const vec x = load(base + c * stride + v);
                store(act + 2 * c * BOUNDED + v, relu(x + broadcast(high[c])));
                store(act + (2 * c + 1) * BOUNDED + v, relu(x + broadcast(low[c])));
            }
    }

    template <int COUNT, int SUMS>
    INLINE void keep_bounds(vec (&sums)[COUNT][SUMS], int first, float* act) {
#pragma GCC unroll 16
        for (int c = 0; c < COUNT; c++)
#pragma GCC unroll 16
            for (int v = 0; v < SUMS; v++) store(act + (2 * (first + c)) * BOUNDED + v * LANES, relu(sums[c][v]));
    }
};
