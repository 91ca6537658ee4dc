// The ops: kernels of one instruction set, over all data, on `threads` threads. Meaning: reference.py.
#pragma once

#include <functional>
#include <vector>

#include "job.h"

namespace fastpunet {

// Packed masks: (images, count, classes, words), pixel p at bit p % 32 of word p / 32.
struct Masks {
    const uint32_t* words;
    int64_t images, count;
    int classes;
    int64_t per_plane;  // words of one mask and class
};

// Throws std::invalid_argument, naming the part, where float32 would overflow or has done so before.
// `levels`: of the groups of hypotheses whose bounds are computed, from the top down; none: no bounds; null: as they pay.
// Returns those of each image.
std::vector<std::vector<int>> decode(Job job, const Decoder& decoder, const std::vector<int>* levels, int threads);

// Nothing is refused: low_rank.py looks at the numbers.
void draw_low_rank(const LowRankJob& low_rank, const LowRankKernel& kernel, int threads);

// The gradients of the logits; sums are the same whatever `threads` is. Nothing is refused: NaN stays NaN.
void decode_gradients(Job job, Gradients want, const GradientKernel& kernel, int threads);

// Pixels that every mask of `a` shares with every mask of `b`: out (images, a.count, b.count, classes).
void pairwise_intersection(const Masks& a, const Masks& b, const Kernels& kernels, int threads, int32_t* out);

// The same as IoU; `empty` is that of two empty masks.
void mask_iou(const Masks& a, const Masks& b, float empty, const Kernels& kernels, int threads, float* out);

// IoU of mask first[p] with mask second[p] of each image: out (images, pairs, classes).
void iou_of_pairs(const Masks& masks, const int64_t* first, const int64_t* second, int64_t pairs, double empty,
                  const Kernels& kernels, int threads, double* out);

// Asked now and then by the calling thread: whether to give up, whatever the result then is.
using Interrupted = std::function<bool()>;

// Weighted sums of d = 1 - (mean IoU over classes): out (images, 2) has sum w d and sum w over the pairs whose d is a
// number, w the product of their weights (images, count), each in [0, 1]; `empty` is the IoU of two empty masks.
void distance_sums(const Masks& a, const Masks& b, const double* weights_a, const double* weights_b, double empty,
                   const Kernels& kernels, int threads, const Interrupted& interrupted, double* out);

// Standard normals (images, n, dim) of hypotheses first .. first + n - 1: Philox4x32-10 and Box-Muller.
void philox_normal(uint64_t seed, const int64_t* ids, int64_t images, int64_t first, int64_t n, int dim, int threads,
                   float* out);

// Labels (count, pixels) to a plane of bits for each of the classes wanted: out (count, classes, words).
void pack_labels(const uint8_t* labels, int64_t count, int64_t pixels, const uint8_t* wanted, int classes,
                 const Kernels& kernels, int threads, uint32_t* out);

// The first class whose bit is set, or 255; of a single plane the bit itself: out (count, pixels).
void unpack_labels(const uint32_t* words, int64_t count, int classes, int64_t pixels, int threads, uint8_t* out);

// Floating-point operations per second when every thread does nothing but multiply-adds for about that long.
double multiply_add_rate(const Kernels& kernels, int threads, double seconds);

}  // namespace fastpunet
