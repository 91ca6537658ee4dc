// Refuses numbers that float32 cannot hold on their way through f_comb; see limits.py, which does the same.
#pragma once

#include "job.h"

namespace fastpunet {

// How large the features, |base|, may be at most, for offsets (images, n, width). Throws std::invalid_argument, naming
// the part, if the layers or the offsets alone are too large.
double largest_base(const Job& job, const float* offset);

[[noreturn]] void refuse_base(double largest);

}  // namespace fastpunet
