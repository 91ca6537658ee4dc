#include "ops.h"
#include "parallel.h"

namespace fastpunet {

void draw_low_rank(const LowRankJob& low_rank, const LowRankKernel& kernel, int threads) {
    const Job& job = low_rank.job;
    const int64_t stretches = (job.pixels + kernel.stretch - 1) / kernel.stretch, all = job.images * stretches;
    threads = worthwhile(threads, double(job.images * job.n * job.pixels) * job.classes);
    const size_t each = (kernel.scratch_bytes(low_rank) + 4096) / 64 * 64;  // threads do not share a page
    const auto scratch = zeroed(each * size_t(threads));
#pragma omp parallel for num_threads(threads) schedule(guided)
    for (int64_t i = 0; i < all; i++)
        kernel.run(low_rank, scratch.get() + each * size_t(thread_number()), i / stretches, i % stretches * kernel.stretch);
}

}  // namespace fastpunet
