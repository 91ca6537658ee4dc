// A sum in units of 2^-62: whole numbers, so that neither the order of the terms nor how they are grouped changes the
// result. Terms lie in [0, 1]; what is below 2^-63 counts as zero.
#pragma once

#include <cstdint>

#include "blocks.h"

namespace fastpunet {

struct ExactSum {
    __extension__ typedef __int128 Wide;
    Wide units = 0;

    void add(double term, int times) { units += Wide(int64_t(term * 0x1p62 + 0.5)) * times; }
    void add(HalfSums halves, int64_t times) { units += ((Wide(halves.high) << 32) + halves.low) * times; }
    void add(const ExactSum& other) { units += other.units; }
    double value() const { return double(units) * 0x1p-62; }
};

// Of the pairs of an image: sum of w d, and sum of w.
struct DistanceSums {
    ExactSum distance, weight;

    void add(const DistanceSums& other) { distance.add(other.distance), weight.add(other.weight); }
};

}  // namespace fastpunet
