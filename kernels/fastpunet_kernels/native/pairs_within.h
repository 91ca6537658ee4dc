// The sums over all pairs of masks of one set, itself included.
#pragma once

#include "exact_sum.h"
#include "ops.h"

namespace fastpunet {

// `distance_sums` of an image's masks and themselves, equal to the last bit. weights, areas: (count), (count, classes).
DistanceSums distance_sums_within(const Masks& masks, int64_t image, const double* weights, const int32_t* areas, double empty,
                                  const Kernels& kernels, int threads, const Interrupted& interrupted);

}  // namespace fastpunet
