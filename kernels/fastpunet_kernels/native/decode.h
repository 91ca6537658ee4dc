// Decodes one block of pixels for all hypotheses: lanes are pixels, activations stay in the first-level cache, weights
// are broadcast. `Dense` says how a layer is computed and how its input is stored.

#include "finish.h"

// Channels [0, width) of `count` pixel-major rows as channel-major rows of BLOCK pixels, zero beyond `count`.
INLINE void transpose(const float* rows, int count, int width, float* block) {
    for (int c = 0; c < width; c++)
        for (int i = 0; i < BLOCK; i++) block[c * BLOCK + i] = i < count ? rows[int64_t(i) * width + c] : 0.0f;
}

// Whether all `count` numbers, a multiple of LANES, are at most `most`, of either sign; NaN is not. Without their signs,
// float32 numbers are ordered as their bits are, and NaN comes last.
INLINE bool within(const float* values, int count, float most) {
    ivec largest = {};
    for (int i = 0; i < count; i += LANES) {
        vec x = load(values + i);
        const ivec bits = reinterpret_cast<ivec&>(x) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    int32_t limit;
    memcpy(&limit, &most, 4);
    for (int i = 0; i < LANES; i++)
        if (largest[i] > limit) return false;
    return true;
}

template <class Dense>
struct Decode {
    struct Scratch {
        size_t base, moved, maps, ping, pong, logits, probability, entropy, end;

        explicit Scratch(const Job& job) {
            int widest = job.width;
            for (int l = 0; l + 1 < job.depth; l++) widest = job.layers[l].out > widest ? job.layers[l].out : widest;
            const size_t classes = size_t(job.classes + 15) / 16 * 16, plane = sizeof(double) * BLOCK;
            base = 0;
            const bool mapped = job.maps.channels > 0;
            moved = base + aligned(4 * size_t(job.width) * BLOCK);
            maps = moved + mapped * aligned(4 * size_t(job.width) * BLOCK);
            ping = maps + aligned(4 * size_t(job.maps.channels) * BLOCK);
            pong = ping + aligned(Dense::activation_bytes(widest));
            logits = pong + aligned(Dense::activation_bytes(widest));
            probability = logits + aligned(4 * classes * BLOCK);
            entropy = probability + aligned(plane * size_t(job.classes));
            end = entropy + aligned(plane);
        }
    };

    static size_t scratch_bytes(const Job& job) { return Scratch(job).end; }

    static size_t packed_bytes(const Job& job) {
        size_t bytes = 0;
        for (int l = 0; l < job.depth; l++) bytes += aligned(Dense::packed_bytes(job.layers[l]));
        return bytes;
    }

    static void pack(const Job& job, void* packed) {
        char* next = static_cast<char*>(packed);
        for (int l = 0; l < job.depth; l++) {
            Dense::pack(job.layers[l], next);
            next += aligned(Dense::packed_bytes(job.layers[l]));
        }
    }

    // Logits (classes, BLOCK) of one hypothesis: `base` has a row of at least BLOCK pixels for each channel, `stride` apart.
    INLINE void logits_of(const Job& job, const void* packed, const float* base, int64_t stride, const float* offset,
                          char* ping, char* pong, float* logits) {
        Dense::first(base, stride, offset, job.width, ping);
        const char* weights = static_cast<const char*>(packed);
        for (int l = 0; l + 1 < job.depth; l++) {
            Dense::hidden(job.layers[l], weights, ping, pong);
            weights += aligned(Dense::packed_bytes(job.layers[l]));
            char* swap = ping;
            ping = pong;
            pong = swap;
        }
        Dense::last(job.layers[job.depth - 1], weights, ping, logits);
    }

    static void run(const Job& job, const void* packed, void* scratch, int64_t image, int64_t first) {
        const Scratch at(job);
        char* memory = static_cast<char*>(scratch);
        float* base = reinterpret_cast<float*>(memory + at.base);
        float* logits = reinterpret_cast<float*>(memory + at.logits);
        const Sums sums{reinterpret_cast<double*>(memory + at.probability), reinterpret_cast<double*>(memory + at.entropy)};
        const int64_t left = job.pixels - first;
        const Block block{image, first, int(left < BLOCK ? left : BLOCK)};

        transpose(job.base + (image * job.pixels + first) * job.width, block.count, job.width, base);
        if (job.checked && !within(base, job.width * BLOCK, job.largest_base)) {
            job.base_refused->store(true, std::memory_order_relaxed);
            return;
        }
        MapPieces pieces;
        float* features = base;
        if (job.maps.channels) {
            pieces.find(job.maps, first, block.count);
            features = reinterpret_cast<float*>(memory + at.moved);
        }
        memset(memory + at.probability, 0, at.end - at.probability);
        for (int64_t k = 0; k < job.n; k++) {
            const float* offset = job.offset + (image * job.n + k) * job.width;
            if (job.maps.channels) {
                const float* cells = job.maps.values + (image * job.n + k) * job.maps.channels * job.maps.cells;
                add_maps(job.maps, job.width, pieces, cells, base, reinterpret_cast<float*>(memory + at.maps), features);
            }
            logits_of(job, packed, features, BLOCK, offset, memory + at.ping, memory + at.pong, logits);
            finish(job, block, k, logits, sums);
        }
        if (job.output == Output::sums) {
            for (int c = 0; c < job.classes; c++)
                memcpy(job.probability + (image * job.classes + c) * job.pixels + first, sums.probability + c * BLOCK,
                       sizeof(double) * size_t(block.count));
            memcpy(job.entropy + image * job.pixels + first, sums.entropy, sizeof(double) * size_t(block.count));
        }
    }
};

template <class Dense>
Decoder decoder(const Pruner* pruner) {
    typedef Decode<Dense> D;
    return {BLOCK, D::packed_bytes, D::pack, D::scratch_bytes, D::run, Dense::enter, Dense::leave, pruner};
}
