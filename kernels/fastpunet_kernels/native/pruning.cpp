#include "pruning.h"

#include <algorithm>

#include "parallel.h"

namespace fastpunet {

namespace {

// In units of one pixel and hypothesis, decoded without pruning.
constexpr double BOUNDS = 2.7;     // what the bounds of one pixel cost
constexpr double GATHERED = 1.05;  // what decoding a pixel costs that was moved
constexpr double PROBE = 0.01;     // the share of all work that may be spent on finding out
constexpr double WORTHWHILE = 0.9;

constexpr int64_t FEWEST = 6;        // hypotheses of a group of the finest level
constexpr int64_t PROBED = 4;        // groups of a level that are looked at
constexpr int64_t MOST_PROBES = 8;   // runs of pixels that are looked at
constexpr int TASKS_PER_THREAD = 8;  // so that all threads end at about the same time

// As in pruning.py, but for levels before `first`.
std::vector<int> best_levels(const std::vector<double>& open, int64_t n, int first) {
    const int count = int(open.size());
    std::vector<double> least(open.size() + 1);
    std::vector<int> following(open.size() + 1, count);
    for (int here = count; here >= 0; here--) {
        const double share = here ? open[size_t(here) - 1] : 1.0;
        least[size_t(here)] = here ? GATHERED * share : WORTHWHILE;
        for (int level = std::max(here, first); level < count; level++) {
            const double total = share * BOUNDS * double(int64_t(1) << level) / double(n) + least[size_t(level) + 1];
            if (total < least[size_t(here)]) least[size_t(here)] = total, following[size_t(here)] = level;
        }
    }
    std::vector<int> levels;
    for (int level = following[0]; level < count; level = following[size_t(level) + 1]) levels.push_back(level);
    return levels;
}

int finest_level(int64_t n) {
    int levels = 0;
    while (n >> (levels + 1) >= FEWEST) levels++;
    return levels;
}

// The share of pixels that the bounds of each level leave open, for each image, by `runs` runs of pixels and PROBED groups.
std::vector<std::vector<double>> open_shares(const Job& job, const Pruner& pruner, const std::vector<Groups>& groups, int finest,
                                             int64_t runs, const void* packed, int threads) {
    std::vector<std::vector<double>> shares(groups.size(), std::vector<double>(size_t(finest) + 1));
    const int64_t all = (job.pixels + pruner.probed - 1) / pruner.probed;
    const size_t each = (pruner.scratch_bytes(job, 0) + 4096) / 64 * 64;
    const auto scratch = zeroed(each * size_t(threads));
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < job.images * (finest + 1); i++) {
        char* own = scratch.get() + each * size_t(thread_number());
        const int64_t image = i / (finest + 1);
        const int level = int(i % (finest + 1));
        const int64_t of_level = int64_t(1) << level, probed = std::min(PROBED, of_level);
        int64_t open = 0, seen = 0;
        for (int64_t g = 0; g < probed; g++)
            for (int64_t r = 0; r < runs; r++) {
                const int64_t first = (2 * r + 1) * all / (2 * runs) * pruner.probed;
                const float* box = groups[size_t(image)].boxes.data() + box_at(job.width, level, (2 * g + 1) * of_level / (2 * probed));
                open += pruner.open_pixels(job, packed, own, image, first, box, box + job.width);
                seen += std::min<int64_t>(pruner.probed, job.pixels - first);
            }
        shares[size_t(image)][size_t(level)] = double(open) / double(seen);
    }
    return shares;
}

}  // namespace

std::vector<Groups> groups_of_images(const Job& job, const Pruner& pruner, const std::vector<int>* levels, const void* packed,
                                     int threads) {
    std::vector<Groups> none(static_cast<size_t>(job.images));
    if (job.images * job.n * job.pixels == 0 || (levels && levels->empty())) return none;
    const int finest = levels ? levels->back() : finest_level(job.n);
    const double of_level = PROBE * double(job.n) * double(job.pixels) / (BOUNDS * pruner.probed * (finest + 1));
    const int64_t runs = std::min(int64_t(of_level) / PROBED, MOST_PROBES);
    if (!levels && runs < 2) return none;
    std::vector<Groups> groups = groups_of(job.offset, job.images, job.n, job.width, finest, threads);
    const int64_t tasks = job.images * ((job.pixels + pruner.pixels - 1) / pruner.pixels);
    int first = 0;
    while (first < 5 && tasks << first < int64_t(threads) * TASKS_PER_THREAD) first++;
    const auto shares = levels ? std::vector<std::vector<double>>() : open_shares(job, pruner, groups, finest, runs, packed, threads);
    for (size_t image = 0; image < groups.size(); image++)
        groups[image].levels = levels ? *levels : best_levels(shares[image], job.n, first);
    return groups;
}

void prune(const Job& job, const Pruner& pruner, const std::vector<Groups>& groups, const void* packed, int threads) {
    struct Task {
        int64_t image, first, group;
    };
    std::vector<Task> tasks;
    int most = 0;
    for (int64_t image = 0; image < job.images; image++) {
        const std::vector<int>& levels = groups[size_t(image)].levels;
        most = std::max(most, int(levels.size()));
        for (int64_t first = 0; !levels.empty() && first < job.pixels; first += pruner.pixels)
            for (int64_t group = 0; group < int64_t(1) << levels[0]; group++) tasks.push_back({image, first, group});
    }
    if (tasks.empty()) return;
    const size_t each = (pruner.scratch_bytes(job, most) + 4096) / 64 * 64;
    const auto scratch = zeroed(each * size_t(threads));
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < int64_t(tasks.size()); i++) {
        const Task& task = tasks[size_t(i)];
        char* own = scratch.get() + each * size_t(thread_number());
        pruner.run(job, groups[size_t(task.image)].pruning(), packed, own, task.image, task.first, task.group);
    }
}

}  // namespace fastpunet
