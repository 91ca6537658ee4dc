// The masks of one image without what is the same everywhere, in blocks of masks that are much alike.
#pragma once

#include <vector>

#include "ops.h"

namespace fastpunet {

// One class of all blocks.
struct AlikeClass {
    int64_t words = 0;           // of 64 pixels that some masks have and others lack
    std::vector<uint64_t> bits;  // (blocks, words, ALIKE)
    std::vector<uint8_t> same;   // (blocks, words): whether a block's masks are all alike there
    int32_t always = 0;          // pixels that all masks have
};

struct Alike {
    int64_t blocks = 0;
    int classes = 0;
    std::vector<double> areas;    // (blocks, classes, ALIKE)
    std::vector<double> weights;  // (blocks, ALIKE)
    std::vector<int64_t> times;   // (blocks, ALIKE): how often the mask is there with that weight; 0 for filling
    std::vector<AlikeClass> planes;

    // Equal masks of equal weight become one. Masks are sorted by area (of the class whose area varies most) and pixels
    // by how many masks have them: hypotheses are mostly level sets of much the same shape, so that masks of a like area
    // differ in few pixels, which are close together in that order. areas: (count, classes) of the image.
    Alike(const Masks& masks, int64_t image, const double* weights, const int32_t* areas, const Kernels& kernels, int threads);
};

}  // namespace fastpunet
