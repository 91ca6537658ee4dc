// Masks of one set, in blocks of ALIKE masks that are much alike, and what an instruction set does with two blocks.
#pragma once

#include <cstdint>

namespace fastpunet {

constexpr int ALIKE = 32;  // a multiple of 8, and a divisor of 64

// The pixels that every mask of block a shares with every mask of block b, of one class.
struct SharedPixels {
    const uint64_t *a, *b;  // (words, ALIKE)
    const int32_t* words;   // those that are to be compared
    int count;              // of them
    const int32_t *of_a, *of_b;  // (ALIKE): what a mask shares in all other words with any mask of the other block
    double* shared;              // out (ALIKE, ALIKE)
};

// The distances of all pairs of a mask of block a and one of block b, or, if `diagonal`, of a block and itself: of (i, j)
// with j >= i, and those with j > i twice.
struct Distances {
    int classes;
    bool diagonal;
    bool empties;          // whether a class may be empty in both masks of a pair
    double empty;          // the IoU of two such masks; NaN leaves the class out
    const double* shared;  // (classes, ALIKE, ALIKE)
    const double *areas_a, *areas_b;  // (classes, ALIKE)
    const double *weights_a, *weights_b;
    const int64_t *times_a, *times_b;  // how often the mask is there
};

// A sum in units of 2^-62: of the lower 32 bits of its terms, and of the rest.
struct HalfSums {
    uint64_t low, high;
};

struct BlockKernel {
    // Bit m of word b becomes bit b of word m: words of 64 masks to words of 64 pixels, and back.
    void (*transpose)(uint64_t words[64]);
    // Adds to each of ALIKE sums the pixels that the mask shares with `one` in that word.
    void (*add_shared)(uint64_t one, const uint64_t words[ALIKE], int32_t sums[ALIKE]);
    void (*count)(const SharedPixels&);
    // Sums over b of the distances and the weights of each mask of a; `times_a` does not count.
    void (*add)(const Distances&, HalfSums distance[ALIKE], HalfSums weight[ALIKE]);
    // The sum of all distances where all weights are 1, no class is left out, and `times_a` and `times_b` add up to no
    // more than FEW each.
    HalfSums (*add_plain)(const Distances&);
};

constexpr int64_t FEW = 511;

}  // namespace fastpunet
