#include "offsets.h"

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

}  // namespace

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

}  // namespace fastpunet
