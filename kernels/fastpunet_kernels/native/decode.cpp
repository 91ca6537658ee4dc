#include <vector>

#include "limits.h"
#include "ops.h"
#include "parallel.h"

namespace fastpunet {

namespace {

// z_weight z of one hypothesis; by_latent is z_weight transposed. Not inlined, so that every hypothesis is rounded alike
// however many there are.
__attribute__((noinline)) void offset_of(const float* z, const float* by_latent, int latent, int width, float* offset) {
    for (int c = 0; c < width; c++) offset[c] = z[0] * by_latent[c];
    for (int d = 1; d < latent; d++)
        for (int c = 0; c < width; c++) offset[c] += z[d] * by_latent[d * width + c];
}

// Of all hypotheses: (images, n, width).
std::vector<float> offsets(const Job& job, int threads) {
    std::vector<float> by_latent(size_t(job.latent) * size_t(job.width)), out(size_t(job.images * job.n * job.width));
    for (int c = 0; c < job.width; c++)
        for (int d = 0; d < job.latent; d++) by_latent[size_t(d) * job.width + c] = job.z_weight[int64_t(c) * job.latent + d];
    threads = worthwhile(threads, double(job.images * job.n) * job.latent * job.width / 4);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t k = 0; k < job.images * job.n; k++)
        offset_of(job.z + k * job.latent, by_latent.data(), job.latent, job.width, out.data() + k * job.width);
    return out;
}

}  // namespace

void decode(Job job, const Decoder& decoder, int threads) {
    const int64_t blocks = (job.pixels + decoder.block - 1) / decoder.block, all = job.images * blocks;
    double multiply_adds = 0;
    for (int l = 0; l < job.depth; l++) multiply_adds += double(job.layers[l].in) * job.layers[l].out;
    const std::vector<float> offset = offsets(job, threads);
    const double largest = largest_base(job, offset.data());
    std::atomic<bool> refused(false);
    job.offset = offset.data();
    job.largest_base = float(largest);
    job.base_refused = &refused;
    threads = worthwhile(threads, double(job.images * job.n * job.pixels) * multiply_adds / 20);

    const auto packed = zeroed(decoder.packed_bytes(job));
    decoder.pack(job, packed.get());
    const size_t each = (decoder.scratch_bytes(job) + 4096) / 64 * 64;  // threads do not share a page
    const auto scratch = zeroed(each * size_t(threads));
#pragma omp parallel num_threads(threads)
    {
        char* own = scratch.get() + each * size_t(thread_number());
        decoder.enter();
#pragma omp for schedule(guided)
        for (int64_t i = 0; i < all; i++) decoder.run(job, packed.get(), own, i / blocks, i % blocks * decoder.block);
        decoder.leave();
    }
    if (refused) refuse_base(largest);
}

}  // namespace fastpunet
