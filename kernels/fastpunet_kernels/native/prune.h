// Pruned decoding of one group of hypotheses and some pixels of an image, in bits and labels of a binary model: level by
// level, bounds decide pixels for whole groups; pixels that stay open move close together, and at last are decoded.

constexpr int64_t PRUNED_PIXELS = 4096;  // at most, of one call; their features stay in the second-level cache

template <class Number>
struct Prune {
    typedef Decode<Dense<Number>> D;
    typedef Bounds<Number> B;
    static constexpr int64_t WORDS = PRUNED_PIXELS / 64, STRIDE = PRUNED_PIXELS + BLOCK;
    static constexpr int64_t AT_ONCE = 32;  // hypotheses that are decoded before their bits are written

    // Bits of pixels that stand close together, in the order of their places; one word more, for blocks end anywhere.
    typedef uint64_t Stream[WORDS + 2];

    // What is known of the pixels after the bounds of one level, and the features of those that are open.
    struct State {
        uint64_t ones[WORDS], open[WORDS];  // one bit a pixel
        int64_t count;                      // open pixels
    };

    // Whose features are loaded, from one call to the next.
    struct Loaded {
        int64_t image, first;
        bool any;
    };

    struct Work {
        const Job& job;
        const Pruning& pruning;
        const void* packed;
        int64_t image, first, pixels, words;  // of this call
        char *ping, *pong;
        float *features, *logits;  // features: for each level and each channel a row of STRIDE
        State* states;             // the same levels
        Stream* streams;           // AT_ONCE of them
        Loaded* loaded;

        float* features_of(int depth) const { return features + int64_t(depth) * job.width * STRIDE; }
    };

    static size_t widest(const Job& job) {
        int most = job.width;
        for (int l = 0; l + 1 < job.depth; l++) most = job.layers[l].out > most ? job.layers[l].out : most;
        return B::activation_bytes(most);
    }

    static size_t features_bytes(const Job& job, int levels) { return aligned(4 * size_t(levels + 1) * size_t(job.width) * STRIDE); }

    // For an image with so many levels.
    static size_t scratch_bytes(const Job& job, int levels) {
        return 2 * aligned(widest(job)) + features_bytes(job, levels) + aligned(4 * 16 * BLOCK) +
               aligned(sizeof(State) * size_t(levels + 1)) + aligned(sizeof(Stream) * AT_ONCE) + aligned(sizeof(Loaded));
    }

    static Work work_of(const Job& job, const Pruning& pruning, const void* packed, void* scratch, int64_t image, int64_t first) {
        const int levels = pruning.depth;
        const int64_t left = job.pixels - first, pixels = left < PRUNED_PIXELS ? left : PRUNED_PIXELS;
        char* memory = static_cast<char*>(scratch);
        Work work = {job, pruning, packed, image, first, pixels, (pixels + 63) / 64, memory, memory + aligned(widest(job)),
                     nullptr, nullptr, nullptr, nullptr, nullptr};
        memory += 2 * aligned(widest(job));
        work.features = reinterpret_cast<float*>(memory);
        memory += features_bytes(job, levels);
        work.logits = reinterpret_cast<float*>(memory);
        memory += aligned(4 * 16 * BLOCK);
        work.states = reinterpret_cast<State*>(memory);
        memory += aligned(sizeof(State) * size_t(levels + 1));
        work.streams = reinterpret_cast<Stream*>(memory);
        work.loaded = reinterpret_cast<Loaded*>(memory + aligned(sizeof(Stream) * AT_ONCE));
        return work;
    }

    // Channel-major rows, STRIDE apart, of pixels first .. first + pixels - 1; returns whether all are small enough.
    static bool load_features(const Job& job, int64_t image, int64_t first, int64_t pixels, float* features) {
        const float* rows = job.base + (image * job.pixels + first) * job.width;
        bool fine = true;
        for (int64_t p = 0; p < pixels; p += BLOCK) {
            const int count = int(pixels - p < BLOCK ? pixels - p : BLOCK);
            for (int c = 0; c < job.width; c++) {
                float* row = features + c * STRIDE + p;
                for (int i = 0; i < BLOCK; i++) row[i] = i < count ? rows[(p + i) * job.width + c] : 0.0f;
                fine &= within(row, BLOCK, job.largest_base);
            }
        }
        return fine;
    }

    // How many of BOUNDED pixels the bounds of a group leave open.
    static int open_pixels(const Job& job, const void* packed, void* scratch, int64_t image, int64_t first, const float* low,
                           const float* high) {
        const Pruning none = {};
        const Work work = work_of(job, none, packed, scratch, image, first);
        const int64_t count = work.pixels < BOUNDED ? work.pixels : BOUNDED;
        if (!load_features(job, image, first, count, work.features)) return int(count);
        uint64_t ones, open;
        B::signs(job, packed, work.features, STRIDE, low, high, work.ping, work.pong, ones, open);
        return __builtin_popcountll(open & first_bits(count));
    }

    // Decode the hypotheses of a group of the first level, for the PRUNED_PIXELS pixels from `first` on.
    static void run(const Job& job, const Pruning& pruning, const void* packed, void* scratch, int64_t image, int64_t first,
                    int64_t group) {
        const Work work = work_of(job, pruning, packed, scratch, image, first);
        Loaded& loaded = *work.loaded;
        if (!loaded.any || loaded.image != image || loaded.first != first) {
            loaded = {image, first, load_features(job, image, first, work.pixels, work.features)};
            if (!loaded.any) job.base_refused->store(true, std::memory_order_relaxed);
        }
        if (!loaded.any) return;
        State& all = work.states[0];
        for (int64_t w = 0; w < work.words; w++) {
            all.ones[w] = 0;
            all.open[w] = first_bits(work.pixels - 64 * w);
        }
        all.count = work.pixels;
        decide(work, 0, group);
    }

    // One group of level number `depth`, counted among those whose bounds are computed: its pixels are those of `depth`.
    static void decide(const Work& work, int depth, int64_t group) {
        const Pruning& pruning = work.pruning;
        const int level = pruning.levels[depth];
        const int64_t first = group_edge(work.job.n, level, group), last = group_edge(work.job.n, level, group + 1);
        if (first == last) return;
        const float* box = pruning.boxes + box_at(work.job.width, level, group);
        bound(work, depth, box, box + work.job.width);
        depth++;
        if (depth == pruning.depth || work.states[depth].count == 0) return decode(work, depth, first, last);
        const int step = pruning.levels[depth] - level;
        for (int64_t child = group << step; child < (group + 1) << step; child++) decide(work, depth, child);
    }

    // The next state: pixels decided, and those still open moved close together.
    static void bound(const Work& work, int depth, const float* low, const float* high) {
        const State& now = work.states[depth];
        State& next = work.states[depth + 1];
        const float* from = work.features_of(depth);
        float* to = work.features_of(depth + 1);
        uint64_t *ones = work.streams[0], *open = work.streams[1];
        int64_t kept = 0;
        for (int64_t p = 0; p < now.count; p += BOUNDED) {
            uint64_t one_bits, open_bits;
            B::signs(work.job, work.packed, from + p, STRIDE, low, high, work.ping, work.pong, one_bits, open_bits);
            open_bits &= first_bits(now.count - p);
            append<BOUNDED>(ones, p, one_bits);
            append<BOUNDED>(open, p, open_bits);
            for (int v = 0; v < BOUNDED; v += LANES) {
                const unsigned some = unsigned(open_bits >> v) & ((1u << LANES) - 1);
                if (!some) continue;
                for (int c = 0; c < work.job.width; c++) compress(to + c * STRIDE + kept, load(from + c * STRIDE + p + v), some);
                kept += __builtin_popcount(some);
            }
        }
        int64_t at = 0;
        for (int64_t w = 0; w < work.words; w++) {
            next.ones[w] = now.ones[w] | deposit(taken(ones, at), now.open[w]);
            next.open[w] = deposit(taken(open, at), now.open[w]);
            at += __builtin_popcountll(now.open[w]);
        }
        next.count = kept;
    }

    // Hypotheses at places first .. last - 1 of the order: decided pixels, and open ones by themselves.
    static void decode(const Work& work, int depth, int64_t first, int64_t last) {
        const State& state = work.states[depth];
        const float* features = work.features_of(depth);
        for (int64_t start = first; start < last; start += AT_ONCE) {
            const int64_t count = last - start < AT_ONCE ? last - start : AT_ONCE;
            for (int64_t p = 0; p < state.count; p += BLOCK)
                for (int64_t k = 0; k < count; k++) {
                    const float* offset = work.job.offset + row_of(work, start + k) * work.job.width;
                    D::logits_of(work.job, work.packed, features + p, STRIDE, offset, work.ping, work.pong, work.logits);
                    append<BLOCK>(work.streams[k], p, class_bits(work.logits, nullptr, 1, 0, BLOCK));
                }
            for (int64_t k = 0; k < count; k++) write(work, state, work.streams[k], row_of(work, start + k));
        }
    }

    static int64_t row_of(const Work& work, int64_t place) {
        return work.image * work.job.n + work.pruning.order[place];
    }

    static void write(const Work& work, const State& state, const uint64_t* stream, int64_t row) {
        uint64_t bits[WORDS];
        int64_t at = 0;
        for (int64_t w = 0; w < work.words; w++) {
            bits[w] = state.ones[w] | deposit(taken(stream, at), state.open[w]);
            at += __builtin_popcountll(state.open[w]);
        }
        uint8_t* out = static_cast<uint8_t*>(work.job.out);
        if (work.job.output == Output::bits) {
            const int64_t row_bytes = (work.job.pixels + 31) / 32 * 4;
            memcpy(out + row * row_bytes + work.first / 8, bits, size_t(work.pixels + 7) / 8);
        } else {
            out += row * work.job.pixels + work.first;
            for (int64_t p = 0; p < work.pixels; p++) out[p] = uint8_t(bits[p / 64] >> (p % 64) & 1);
        }
    }

    static uint64_t first_bits(int64_t count) { return count >= 64 ? ~uint64_t(0) : (uint64_t(1) << count) - 1; }

    // The bits of PIXELS pixels, at place `at` of a stream, a multiple of PIXELS.
    template <int PIXELS>
    INLINE void append(uint64_t* stream, int64_t at, uint64_t bits) {
        memcpy(reinterpret_cast<char*>(stream) + at / 8, &bits, PIXELS / 8);
    }

    // 64 bits from place `at` of a stream.
    INLINE uint64_t taken(const uint64_t* stream, int64_t at) {
        const uint64_t low = stream[at / 64] >> (at % 64);
        return at % 64 ? low | stream[at / 64 + 1] << (64 - at % 64) : low;
    }
};

template <class Number>
Pruner pruner() {
    typedef Prune<Number> P;
    return {PRUNED_PIXELS, BOUNDED, P::scratch_bytes, P::open_pixels, P::run};
}
