#include <algorithm>

#include "limits.h"
#include "offsets.h"
#include "ops.h"
#include "parallel.h"
#include "pruning.h"

namespace fastpunet {

std::vector<std::vector<int>> decode(Job job, const Decoder& decoder, const std::vector<int>* levels, int threads) {
    const int64_t blocks = (job.pixels + decoder.block - 1) / decoder.block, all = job.images * blocks;
    double multiply_adds = 0;
    for (int l = 0; l < job.depth; l++) multiply_adds += double(job.layers[l].in) * job.layers[l].out;
    const std::vector<float> offset = offsets(job, threads);
    const int64_t map_values = job.images * job.n * job.maps.channels * job.maps.cells;
    std::vector<float> maps(static_cast<size_t>(map_values + MAP_SLACK));
    std::copy_n(job.maps.values, map_values, maps.data());
    job.maps.values = maps.data();
    const double largest = job.checked ? largest_base(job, offset.data()) : 0;
    std::atomic<bool> refused(false);
    job.offset = offset.data();
    job.largest_base = float(largest);
    job.base_refused = &refused;
    threads = worthwhile(threads, double(job.images * job.n * job.pixels) * multiply_adds / 20);

    const auto packed = zeroed(decoder.packed_bytes(job));
    decoder.pack(job, packed.get());
    const size_t each = (decoder.scratch_bytes(job) + 4096) / 64 * 64;  // threads do not share a page
    const auto scratch = zeroed(each * size_t(threads));
    std::vector<Groups> groups(static_cast<size_t>(job.images));
    if (decoder.pruner && job.classes == 1 && !job.maps.channels && (job.output == Output::bits || job.output == Output::labels)) {
        groups = groups_of_images(job, *decoder.pruner, levels, packed.get(), threads);
        prune(job, *decoder.pruner, groups, packed.get(), threads);
    }
#pragma omp parallel num_threads(threads)
    {
        char* own = scratch.get() + each * size_t(thread_number());
        decoder.enter();
#pragma omp for schedule(guided)
        for (int64_t i = 0; i < all; i++)
            if (groups[size_t(i / blocks)].levels.empty())
                decoder.run(job, packed.get(), own, i / blocks, i % blocks * decoder.block);
        decoder.leave();
    }
    if (refused) refuse_base(largest);
    std::vector<std::vector<int>> chosen;
    for (Groups& one : groups) chosen.push_back(std::move(one.levels));
    return chosen;
}

}  // namespace fastpunet
