// The gradients of a Job's logits, of one block of pixels after another: lanes are pixels, as in decode.h. Activations
// are computed again rather than kept, for GROUP hypotheses at a time, so that sums over pixels stay in registers for
// as long.

constexpr int GROUP = 4, COLUMNS = 3;  // TILE * COLUMNS sums, and what they need, fit the registers

typedef double wide __attribute__((vector_size(8 * LANES)));

// The sum of all lanes.
INLINE float total(vec x) {
    float lanes[LANES];
    store(lanes, x);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

struct Backward {
    typedef Dense<Float32> D;

    // Rows of BLOCK pixels: activations of `depth` layers' inputs for each hypothesis of the group, gradients that come
    // in and go out; then sums of LANES floats for every weight, padded to whole tiles, and a double for every bias.
    struct Scratch {
        size_t base, base_gradient, first, each, in, out, sums, biases, end;

        explicit Scratch(const Job& job) {
            int widest = job.width > job.classes ? job.width : job.classes;
            for (int l = 0; l < job.depth; l++) widest = job.layers[l].in > widest ? job.layers[l].in : widest;
            each = aligned(D::activation_bytes(widest));
            base = 0;
            base_gradient = base + aligned(4 * size_t(job.width) * BLOCK);
            first = base_gradient + aligned(4 * size_t(job.width) * BLOCK);
            in = first + each * GROUP * size_t(job.depth);
            out = in + each * GROUP;
            sums = out + each * GROUP;
            biases = sums + aligned(sums_before(job, job.depth));
            end = biases + aligned(sizeof(double) * outs_before(job, job.depth));
        }
    };

    static int columns(int in) { return (in + COLUMNS - 1) / COLUMNS * COLUMNS; }

    // Bytes of the sums of the first `layers` layers.
    static size_t sums_before(const Job& job, int layers) {
        size_t bytes = 0;
        for (int l = 0; l < layers; l++)
            bytes += 4 * LANES * size_t(D::padded(job.layers[l].out)) * size_t(columns(job.layers[l].in));
        return bytes;
    }

    static size_t outs_before(const Job& job, int layers) {
        size_t outs = 0;
        for (int l = 0; l < layers; l++) outs += size_t(job.layers[l].out);
        return outs;
    }

    static size_t scratch_bytes(const Job& job) { return Scratch(job).end; }

    static Layer reversed(const Layer& layer) { return {nullptr, nullptr, layer.in, layer.out}; }

    static size_t packed_bytes(const Layer& layer) {
        return aligned(D::packed_bytes(layer)) + aligned(D::packed_bytes(reversed(layer)));
    }

    static size_t packed_bytes(const Job& job) {
        size_t bytes = 0;
        for (int l = 0; l < job.depth; l++) bytes += packed_bytes(job.layers[l]);
        return bytes;
    }

    // Each layer, then its transpose.
    static void pack(const Job& job, const Gradients& want, void* packed) {
        char* next = static_cast<char*>(packed);
        for (int l = 0; l < job.depth; l++) {
            const Layer& layer = job.layers[l];
            D::pack(layer, next);
            D::pack(want.transposes[l], next + aligned(D::packed_bytes(layer)));
            next += packed_bytes(layer);
        }
    }

    // sums[c][i] += gradient[c] * act[i], over `count` hypotheses and the block's pixels; and of the bias, gradient[c].
    template <int ROWS>
    INLINE void add_products(const char* gradient, const char* act, size_t each, int count, float* sums, int stride) {
        vec tile[ROWS][COLUMNS] = {};
        for (int m = 0; m < count; m++) {
            const float* g = reinterpret_cast<const float*>(gradient + each * size_t(m));
            const float* x = reinterpret_cast<const float*>(act + each * size_t(m));
#pragma GCC unroll 8
            for (int v = 0; v < BLOCK; v += LANES) {
                vec column[COLUMNS];
#pragma GCC unroll 4
                for (int i = 0; i < COLUMNS; i++) column[i] = load(x + i * BLOCK + v);
#pragma GCC unroll 8
                for (int c = 0; c < ROWS; c++) {
                    const vec row = load(g + c * BLOCK + v);
#pragma GCC unroll 4
                    for (int i = 0; i < COLUMNS; i++) tile[c][i] += row * column[i];
                }
            }
        }
#pragma GCC unroll 8
        for (int c = 0; c < ROWS; c++)
#pragma GCC unroll 4
            for (int i = 0; i < COLUMNS; i++) {
                float* sum = sums + (int64_t(c) * stride + i) * LANES;
                store(sum, load(sum) + tile[c][i]);
            }
    }

    template <int ROWS>
    static void add_layer(const Layer& layer, const char* gradient, const char* act, size_t each, int count, float* sums,
                          double* biases) {
        const int stride = columns(layer.in), step = 4 * BLOCK;
        for (int c = 0; c < layer.out; c += ROWS)
            for (int i = 0; i < layer.in; i += COLUMNS)
                add_products<ROWS>(gradient + int64_t(c) * step, act + int64_t(i) * step, each, count,
                                   sums + (int64_t(c) * stride + i) * LANES, stride);
        for (int c = 0; c < layer.out; c++) {
            wide sum = {};  // a few gradients of either sign add up to little: float32 would show its rounding
            for (int m = 0; m < count; m++) {
                const float* g = reinterpret_cast<const float*>(gradient + each * size_t(m)) + c * BLOCK;
                for (int v = 0; v < BLOCK; v += LANES) sum += __builtin_convertvector(load(g + v), wide);
            }
            for (int i = 0; i < LANES; i++) biases[c] += sum[i];
        }
    }

    // The gradient of a layer's input before its ReLU, from that of its output.
    INLINE void through(const Layer& transpose, const char* packed, const char* gradient, const char* act, char* out) {
        const float* x = reinterpret_cast<const float*>(act);
        float* to = reinterpret_cast<float*>(out);
        D::for_tiles(transpose, packed, gradient, [x, to](int first, auto& sums) {
            int c = first;
            for (auto& channel : sums) {
#pragma GCC unroll 8
                for (int v = 0; v < D::VECS; v++) {
                    const int64_t place = int64_t(c) * BLOCK + v * LANES;
                    store(to + place, load(x + place) > 0.0f ? channel[v] : vec{});
                }
                c++;
            }
        });
    }

    // The pixels [first, last) of an image. Sums over them go to part `part` of the image.
    static void run(const Job& job, const Gradients& want, const void* packed, void* scratch, int64_t image, int64_t part,
                    int64_t first, int64_t last) {
        const Scratch at(job);
        char* memory = static_cast<char*>(scratch);
        float* base = reinterpret_cast<float*>(memory + at.base);
        float* base_gradient = reinterpret_cast<float*>(memory + at.base_gradient);
        double* offsets = want.offset + (image * want.parts + part) * job.n * job.width;
        memset(memory + at.sums, 0, at.end - at.sums);
        for (int64_t start = first; start < last; start += BLOCK) {
            const int count = int(last - start < BLOCK ? last - start : BLOCK);
            const int64_t row = (image * job.pixels + start) * job.width;
            transpose(job.base + row, count, job.width, base);
            memset(base_gradient, 0, 4 * size_t(job.width) * BLOCK);
            for (int64_t k = 0; k < job.n; k += GROUP) {
                const int group = int(job.n - k < GROUP ? job.n - k : GROUP);
                run_group(job, want, static_cast<const char*>(packed), memory, at, image * job.n + k, group, start, count);
                const char* result = memory + (job.depth % 2 ? at.out : at.in);
                for (int m = 0; m < group; m++) {
                    const float* g = reinterpret_cast<const float*>(result + at.each * size_t(m));
                    double* offset = offsets + (k + m) * job.width;
                    for (int c = 0; c < job.width; c++) {
                        vec sum = {};
                        for (int v = c * BLOCK; v < (c + 1) * BLOCK; v += LANES) {
                            sum += load(g + v);
                            store(base_gradient + v, load(base_gradient + v) + load(g + v));
                        }
                        offset[c] += double(total(sum));
                    }
                }
            }
            for (int i = 0; i < count; i++)
                for (int c = 0; c < job.width; c++) want.base[row + int64_t(i) * job.width + c] = base_gradient[c * BLOCK + i];
        }
        double* weights = want.weights + (image * want.parts + part) * want.size;
        for (int l = 0; l < job.depth; l++) {
            const Layer& layer = job.layers[l];
            const float* sums = reinterpret_cast<const float*>(memory + at.sums + sums_before(job, l));
            const double* biases = reinterpret_cast<const double*>(memory + at.biases) + outs_before(job, l);
            const int stride = columns(layer.in);
            for (int c = 0; c < layer.out; c++)
                for (int i = 0; i < layer.in; i++) *weights++ = double(total(load(sums + (int64_t(c) * stride + i) * LANES)));
            for (int c = 0; c < layer.out; c++) *weights++ = biases[c];
        }
    }

    // Hypotheses row .. row + group - 1, counted over all images. The gradients of the first layer end at `out` where
    // the number of layers is odd, else at `in`.
    static void run_group(const Job& job, const Gradients& want, const char* packed, char* memory, const Scratch& at,
                          int64_t row, int group, int64_t start, int count) {
        const float* base = reinterpret_cast<const float*>(memory + at.base);
        for (int m = 0; m < group; m++) {
            char* act = memory + at.first + at.each * size_t(m);
            D::first(base, BLOCK, job.offset + (row + m) * job.width, job.width, act);
            const char* weights = packed;
            for (int l = 0; l + 1 < job.depth; l++) {
                D::hidden(job.layers[l], weights, act, act + at.each * GROUP);
                act += at.each * GROUP;
                weights += packed_bytes(job.layers[l]);
            }
            float* gradient = reinterpret_cast<float*>(memory + at.in + at.each * size_t(m));
            const float* given = want.logits + (row + m) * job.classes * job.pixels + start;
            for (int c = 0; c < job.classes; c++)
                for (int i = 0; i < BLOCK; i++) gradient[c * BLOCK + i] = i < count ? given[c * job.pixels + i] : 0.0f;
        }
        const char* weights = packed + packed_bytes(job);
        char *in = memory + at.in, *out = memory + at.out;
        for (int l = job.depth - 1; l >= 0; l--) {
            const Layer& layer = job.layers[l];
            const char* act = memory + at.first + at.each * GROUP * size_t(l);
            float* sums = reinterpret_cast<float*>(memory + at.sums + sums_before(job, l));
            double* biases = reinterpret_cast<double*>(memory + at.biases) + outs_before(job, l);
            if (layer.out == 1) add_layer<1>(layer, in, act, at.each, group, sums, biases);
            else add_layer<TILE>(layer, in, act, at.each, group, sums, biases);
            weights -= packed_bytes(layer);
            for (int m = 0; m < group; m++) {
                const size_t place = at.each * size_t(m);
                through(reversed(layer), weights + aligned(D::packed_bytes(layer)), in + place, act + place, out + place);
            }
            char* swap = in;
            in = out;
            out = swap;
        }
    }
};

static const GradientKernel gradients = {BLOCK, Backward::packed_bytes, Backward::pack, Backward::scratch_bytes, Backward::run};
