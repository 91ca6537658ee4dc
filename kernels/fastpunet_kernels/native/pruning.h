// Pruned decoding of whole images: which groups of hypotheses are worth their bounds, and the loop over them.
#pragma once

#include <vector>

#include "groups.h"

namespace fastpunet {

// For each image the groups of its hypotheses and the levels whose bounds are computed: the given ones, or, if `levels` is
// null, those that a few bounds of some pixels show to pay.
std::vector<Groups> groups_of_images(const Job& job, const Pruner& pruner, const std::vector<int>* levels, const void* packed,
                                 int threads);

// Decodes the images that have levels, all their pixels and hypotheses.
void prune(const Job& job, const Pruner& pruner, const std::vector<Groups>& groups, const void* packed, int threads);

}  // namespace fastpunet
