// The part of f_comb's first layer that belongs to the latents.
#pragma once

#include <vector>

#include "job.h"

namespace fastpunet {

// z_weight z of all hypotheses: (images, n, width).
std::vector<float> offsets(const Job& job, int threads);

}  // namespace fastpunet
