// Hypotheses whose logits are a low-rank normal: a stretch of pixels, all hypotheses. Lanes are pixels; the noise of
// 4 LANES neighbours comes of one call of Philox.

constexpr int DRAWN = 4 * LANES;      // pixels whose noise is drawn together
constexpr int STRETCH = 3 * DRAWN;    // a multiple of BLOCK as well
constexpr float FARTHEST = 7.0f;      // no normal is farther from 0 than 6.77
static_assert(STRETCH % BLOCK == 0, "blocks fill a stretch");

struct LowRankScratch {
    size_t planes, logits, probability, entropy, end;

    explicit LowRankScratch(const LowRankJob& low_rank) {
        const size_t classes = size_t(low_rank.job.classes);
        planes = 0;  // for each class mean, sigma and the factors of the stretch
        logits = planes + 4 * classes * size_t(low_rank.rank + 2) * STRETCH;
        probability = logits + 4 * classes * STRETCH;
        entropy = probability + sizeof(double) * classes * STRETCH;
        end = entropy + sizeof(double) * STRETCH;
    }
};

static size_t low_rank_scratch_bytes(const LowRankJob& low_rank) { return LowRankScratch(low_rank).end; }

// Logits of DRAWN pixels of a class, `planes` being its mean, sigma and factors there, without the noise of the pixels.
INLINE void mean_and_factors(const float* planes, const float* e, int rank, vec logits[4]) {
    for (int i = 0; i < 4; i++) logits[i] = load(planes + i * LANES);
    for (int r = 0; r < rank; r++)
        for (int i = 0; i < 4; i++) logits[i] += e[r] * load(planes + (r + 2) * STRETCH + i * LANES);
}

// Whether the noise could change the sign of any of these logits.
INLINE bool open(const vec logits[4], const float* sigma) {
    unsigned any = 0;
    for (int i = 0; i < 4; i++) {
        const vec reach = FARTHEST * load(sigma + i * LANES);
        any |= positive(reach - logits[i]) & positive(reach + logits[i]);
    }
    return any != 0;
}

static void low_rank_run(const LowRankJob& low_rank, void* scratch, int64_t image, int64_t first) {
    const Job& job = low_rank.job;
    const LowRankScratch at(low_rank);
    char* memory = static_cast<char*>(scratch);
    float* planes = reinterpret_cast<float*>(memory + at.planes);
    float* logits = reinterpret_cast<float*>(memory + at.logits);
    double* probability = reinterpret_cast<double*>(memory + at.probability);
    double* entropy = reinterpret_cast<double*>(memory + at.entropy);
    memset(memory, 0, at.end);

    const int rank = low_rank.rank, classes = job.classes;
    const int64_t left = job.pixels - first, each = (rank + 2) * STRETCH;
    const int count = int(left < STRETCH ? left : STRETCH);
    for (int c = 0; c < classes; c++) {
        const int64_t plane = image * classes + c;
        const size_t bytes = sizeof(float) * size_t(count);
        memcpy(planes + c * each, low_rank.mean + plane * job.pixels + first, bytes);
        memcpy(planes + c * each + STRETCH, low_rank.sigma + plane * job.pixels + first, bytes);
        for (int r = 0; r < rank; r++)
            memcpy(planes + c * each + (r + 2) * STRETCH,
                   low_rank.factor + ((image * rank + r) * classes + c) * job.pixels + first, bytes);
    }
    const bool signs = classes == 1 && low_rank.skips && (job.output == Output::bits || job.output == Output::labels);
    for (int64_t k = 0; k < job.n; k++) {
        const float* e = low_rank.e + (image * job.n + k) * rank;
        for (int c = 0; c < classes; c++) {
            const NoiseOf noise{low_rank.seed ^ uint64_t(c + 1) << 48, uint64_t(low_rank.ids[image]),
                                uint32_t(low_rank.first + k)};
            for (int p = 0; p < count; p += DRAWN) {
                const float* own = planes + c * each + p;
                vec group[4], drawn[4];
                mean_and_factors(own, e, rank, group);
                if (!signs || open(group, own + STRETCH)) {
                    normals(noise, uint32_t((first + p) / 4), drawn);
                    for (int i = 0; i < 4; i++) group[i] += load(own + STRETCH + i * LANES) * drawn[i];
                }
                for (int i = 0; i < 4; i++) {
                    const int pixel = p + i * LANES;
                    store(logits + (pixel / BLOCK * classes + c) * BLOCK + pixel % BLOCK, group[i]);
                }
            }
        }
        for (int b = 0; b * BLOCK < count; b++) {
            const int rest = count - b * BLOCK;
            const Block block{image, first + b * BLOCK, rest < BLOCK ? rest : BLOCK};
            finish(job, block, k, logits + b * classes * BLOCK,
                   {probability + b * classes * BLOCK, entropy + b * BLOCK});
        }
    }
    if (job.output != Output::sums) return;
    for (int b = 0; b * BLOCK < count; b++) {
        const int64_t start = first + b * BLOCK;
        const size_t bytes = sizeof(double) * size_t(count - b * BLOCK < BLOCK ? count - b * BLOCK : BLOCK);
        for (int c = 0; c < classes; c++)
            memcpy(job.probability + (image * classes + c) * job.pixels + start,
                   probability + (b * classes + c) * BLOCK, bytes);
        memcpy(job.entropy + image * job.pixels + start, entropy + b * BLOCK, bytes);
    }
}

static const LowRankKernel low_rank_kernel = {STRETCH, low_rank_scratch_bytes, low_rank_run};
