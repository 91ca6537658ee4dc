// A layer on AMX tiles in bfloat16: 16 output channels by 32 input channels (16 pairs) by 16 pixels a multiplication.
// Packed: for every 16 output channels a tile of biases (16, 16 pixels) float32, then their weights, 32 input channels a
// tile, (16, 32) bfloat16; all padded with zeros. Activations are rows of BLOCK pairs, as for Bfloat16.

struct DenseAmx {
    static constexpr int OUT = 16, IN = 32, ROW = 4 * BLOCK, TILE_BYTES = 1024;  // ROW: bytes from one row to the next
    static_assert(BLOCK == 48, "three tiles of 16 pixels");

    static void enter() {
        struct alignas(64) {
            uint8_t palette, start_row, reserved[14];
            uint16_t column_bytes[16];
            uint8_t rows[16];
        } config = {};
        config.palette = 1;
        for (int t = 0; t < 8; t++) config.column_bytes[t] = 64, config.rows[t] = 16;
        asm volatile("" : : "r"(&config) : "memory");  // the compiler does not see that all of it is read
        _tile_loadconfig(&config);
    }

    static void leave() { _tile_release(); }

    static int out_tiles(int out) { return (out + IN - 1) / IN * 2; }  // in twos: they are the next layer's IN
    static int in_tiles(int in) { return (in + IN - 1) / IN; }
    static size_t activation_bytes(int channels) { return size_t(in_tiles(channels)) * IN / 2 * ROW; }
    static size_t packed_bytes(const Layer& layer) {
        return size_t(out_tiles(layer.out)) * size_t(in_tiles(layer.in) + 1) * TILE_BYTES;
    }

    static void pack(const Layer& layer, void* packed) {
        char* next = static_cast<char*>(packed);
        for (int first = 0; first < OUT * out_tiles(layer.out); first += OUT, next += TILE_BYTES * (in_tiles(layer.in) + 1)) {
            float* bias = reinterpret_cast<float*>(next);
            uint32_t* weight = reinterpret_cast<uint32_t*>(next + TILE_BYTES);
            for (int c = 0; c < OUT; c++) {
                const int channel = first + c;
                const float* row = layer.weight + int64_t(channel) * layer.in;
                for (int p = 0; p < 16; p++) bias[c * 16 + p] = channel < layer.out ? layer.bias[channel] : 0.0f;
                for (int i = 0; i < IN * in_tiles(layer.in); i += 2) {
                    float w[2] = {};
                    for (int j = 0; j < 2; j++)
                        if (channel < layer.out && i + j < layer.in) w[j] = row[i + j];
                    weight[i / IN * (TILE_BYTES / 4) + c * 16 + i % IN / 2] = Bfloat16::weight(w);
                }
            }
        }
    }

    INLINE void first(const float* base, int64_t stride, const float* offset, int width, void* act) {
        uint32_t* out = static_cast<uint32_t*>(act);
        Bfloat16::first(base, stride, offset, width, out);
        const int written = (width + 1) / 2, read = in_tiles(width) * IN / 2;  // rows
        if (written < read) memset(out + written * BLOCK, 0, size_t(read - written) * ROW);
    }

    INLINE void hidden(const Layer& layer, const void* packed, const void* in, void* out) {
        alignas(64) float sums[OUT * BLOCK];
        const char* next = static_cast<const char*>(packed);
        uint32_t* act = static_cast<uint32_t*>(out);
        for (int t = 0; t < out_tiles(layer.out); t++, act += OUT / 2 * BLOCK) {
            next = multiply(layer, next, in, sums);
#pragma GCC unroll 8
            for (int c = 0; c < OUT; c += 2)
#pragma GCC unroll 4
                for (int v = 0; v < BLOCK; v += LANES)
                    _mm512_storeu_si512(act + c / 2 * BLOCK + v, pairs(relu(load(sums + c * BLOCK + v)),
                                                                       relu(load(sums + (c + 1) * BLOCK + v))));
        }
    }

    INLINE void last(const Layer& layer, const void* packed, const void* in, float* logits) {
        const char* next = static_cast<const char*>(packed);
        for (int c = 0; c < layer.out; c += OUT) next = multiply(layer, next, in, logits + c * BLOCK);
    }

    // 16 output channels of one block, (16, BLOCK), to `sums`; returns where the next 16 are packed.
    INLINE const char* multiply(const Layer& layer, const char* packed, const void* in, float* sums) {
        const char* act = static_cast<const char*>(in);
        asm volatile("" ::: "memory");  // the compiler does not see what tiles read and write
        _tile_loadd(0, packed, 64);
        _tile_loadd(1, packed, 64);
        _tile_loadd(2, packed, 64);
        for (int t = 0; t < in_tiles(layer.in); t++, act += IN / 2 * ROW) {
            packed += TILE_BYTES;
            _tile_loadd(3, packed, 64);
            _tile_loadd(4, act, ROW);
            _tile_loadd(5, act + 64, ROW);
            _tile_loadd(6, act + 128, ROW);
            _tile_dpbf16ps(0, 3, 4);
            _tile_dpbf16ps(1, 3, 5);
            _tile_dpbf16ps(2, 3, 6);
        }
        _tile_stored(0, sums, ROW);
        _tile_stored(1, sums + 16, ROW);
        _tile_stored(2, sums + 32, ROW);
        asm volatile("" ::: "memory");
        return packed + TILE_BYTES;
    }
};
