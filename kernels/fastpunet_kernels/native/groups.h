// Groups of similar hypotheses, whose labels are decided together; see pruning.py.
#pragma once

#include <vector>

#include "job.h"

namespace fastpunet {

constexpr int MOST_LEVELS = 24;

// The hypotheses of one image in an order in which similar ones are neighbours, and the box of each group's offsets, down
// to the finest level.
struct Groups {
    std::vector<int64_t> order;
    std::vector<float> boxes;
    std::vector<int> levels;  // whose bounds are computed, from the top down; none if the image is not pruned

    Pruning pruning() const { return {order.data(), boxes.data(), levels.data(), int(levels.size())}; }
};

// Groups down to level `finest` of the hypotheses of each image, by their offsets (images, n, width); no levels chosen yet.
std::vector<Groups> groups_of(const float* offset, int64_t images, int64_t n, int width, int finest, int threads);

}  // namespace fastpunet
