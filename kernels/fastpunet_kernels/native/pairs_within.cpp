// The sums over all pairs of masks of one set, which leave out most of the work where masks are much alike.
#include "pairs_within.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

#include "alike.h"
#include "parallel.h"

namespace fastpunet {

namespace {

// All that a thread needs for two blocks.
class BlockPair {
  public:
    BlockPair(const Alike& masks, double empty, const BlockKernel& kernel)
        : masks(masks), empty(empty), kernel(kernel), shared(size_t(masks.classes) * ALIKE * ALIKE) {
        int64_t most = 0;
        for (const AlikeClass& plane : masks.planes) most = std::max(most, plane.words);
        words.resize(size_t(most));
        plain = std::all_of(masks.weights.begin(), masks.weights.end(), [](double weight) { return weight == 1; });
    }

    // The distances between block a's masks and block b's.
    DistanceSums sums(int64_t a, int64_t b) {
        for (int k = 0; k < masks.classes; k++) count(a, b, k);
        const int64_t *times_a = masks.times.data() + a * ALIKE, *times_b = masks.times.data() + b * ALIKE;
        const double *areas = masks.areas.data(), *of_masks = masks.weights.data();
        const Distances distances = {masks.classes,
                                     a == b,
                                     both_empty(a, b),
                                     empty,
                                     shared.data(),
                                     areas + a * masks.classes * ALIKE,
                                     areas + b * masks.classes * ALIKE,
                                     of_masks + a * ALIKE,
                                     of_masks + b * ALIKE,
                                     times_a,
                                     times_b};
        const int64_t all_a = std::accumulate(times_a, times_a + ALIKE, int64_t(0));
        const int64_t all_b = std::accumulate(times_b, times_b + ALIKE, int64_t(0)), twice = a == b ? 1 : 2;
        DistanceSums out;
        if (plain && all_a <= FEW && all_b <= FEW && !(distances.empties && std::isnan(empty))) {
            out.distance.add(kernel.add_plain(distances), twice);
            out.weight.add(HalfSums{0, uint64_t(1) << 30}, all_a * all_b * twice);
            return out;
        }
        HalfSums each[ALIKE], weights[ALIKE];
        kernel.add(distances, each, weights);
        for (int i = 0; i < ALIKE; i++) {
            out.distance.add(each[i], times_a[i] * twice);
            out.weight.add(weights[i], times_a[i] * twice);
        }
        return out;
    }

  private:
    const Alike& masks;
    double empty;
    const BlockKernel& kernel;
    std::vector<double> shared;  // (classes, ALIKE, ALIKE)
    std::vector<int32_t> words;
    bool plain;

    // Whether some class is empty in some mask of each block.
    bool both_empty(int64_t a, int64_t b) const {
        const double *x = masks.areas.data() + a * masks.classes * ALIKE, *y = masks.areas.data() + b * masks.classes * ALIKE;
        for (int k = 0; k < masks.classes; k++, x += ALIKE, y += ALIKE)
            if (std::count(x, x + ALIKE, 0) && std::count(y, y + ALIKE, 0)) return true;
        return false;
    }

    // Where the masks of a block are all alike, they share as much with a mask of the other block, each of them.
    void count(int64_t a, int64_t b, int k) {
        const AlikeClass& plane = masks.planes[size_t(k)];
        const uint64_t *x = plane.bits.data() + a * plane.words * ALIKE, *y = plane.bits.data() + b * plane.words * ALIKE;
        const uint8_t *same_x = plane.same.data() + a * plane.words, *same_y = plane.same.data() + b * plane.words;
        int32_t of_a[ALIKE], of_b[ALIKE] = {};
        std::fill(of_a, of_a + ALIKE, plane.always);
        int found = 0;
        for (int64_t w = 0; w < plane.words; w++) {
            const bool fixed_x = same_x[w], fixed_y = same_y[w];
            if (!fixed_x && !fixed_y)
                words[size_t(found++)] = int32_t(w);
            else if (fixed_x)
                kernel.add_shared(x[w * ALIKE], y + w * ALIKE, of_b);
            else
                kernel.add_shared(y[w * ALIKE], x + w * ALIKE, of_a);
        }
        kernel.count({x, y, words.data(), found, of_a, of_b, shared.data() + k * ALIKE * ALIKE});
    }
};

}  // namespace

DistanceSums distance_sums_within(const Masks& masks, int64_t image, const double* weights, const int32_t* areas, double empty,
                                  const Kernels& kernels, int threads, const Interrupted& interrupted) {
    threads = worthwhile(threads, double(masks.count) * double(masks.count));
    const Alike alike(masks, image, weights, areas, kernels, threads);
    std::atomic<bool> stopped{false};
    std::vector<DistanceSums> each(static_cast<size_t>(threads));
    const int64_t rows = std::max<int64_t>(1, std::min<int64_t>(8, alike.blocks / (8 * threads)));
#pragma omp parallel num_threads(threads)
    {
        BlockPair pair(alike, empty, *kernels.blocks);
        DistanceSums own;
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < alike.blocks; first += rows) {
            const int64_t end = std::min(first + rows, alike.blocks);
            if (thread_number() == 0 && interrupted()) stopped = true;
            for (int64_t b = first; b < alike.blocks && !stopped; b++)
                for (int64_t a = first; a < std::min(end, b + 1); a++) own.add(pair.sums(a, b));
        }
        each[size_t(thread_number())] = own;
    }
    DistanceSums total;
    for (const DistanceSums& part : each) total.add(part);
    return total;
}

}  // namespace fastpunet
