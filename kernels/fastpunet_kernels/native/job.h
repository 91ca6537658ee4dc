// What the kernels are asked to do, in plain pointers. Every array is C-contiguous and belongs to the caller.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "blocks.h"

namespace fastpunet {

enum class Output { labels, logits, probs, bits, sums };

struct Layer {
    const float* weight;  // (out, in)
    const float* bias;    // (out,)
    int out, in;
};

// Latent maps: each hypothesis has latents in every cell of a grid over the image, besides those of the whole image. Sizes
// are those of three axes; leading ones that an image lacks are 1.
struct Maps {
    const float* values;  // (images, n, channels, cells), and MAP_SLACK numbers behind them
    const float* weight;  // (width, channels), the first layer's columns of the maps
    int channels;         // 0: there are none
    int64_t cells, size[3], grid[3];
};

constexpr int MAP_SLACK = 32;  // vectors of cells are loaded whole

// f_comb after its split first layer: hypothesis k of image b is layers(relu(base[b, p] + z_weight z[b, k])).
struct Job {
    const float* base;      // (images, pixels, width), Wf f + b1
    const float* z;         // (images, n, latent)
    const float* z_weight;  // (width, latent)
    const Layer* layers;    // `depth` of them; the last one has `classes` outputs
    Maps maps;
    int depth, width, latent, classes;
    int64_t images, n, pixels;
    Output output;
    bool checked;         // whether NaN, infinity and numbers that could overflow are refused
    void* out;            // labels, logits, probs or bits; bits are zero on entry
    double* probability;  // sums: (images, classes, pixels)
    double* entropy;      // sums: (images, pixels), nats
    int64_t* volume;      // sums: (images, n, classes), zero on entry
    // Filled in by `decode`.
    const float* offset;             // (images, n, width), z_weight z
    float largest_base;              // blocks with larger features, or NaN, are refused rather than decoded
    std::atomic<bool>* base_refused;
};

// Groups of an image's hypotheses, which are in an order in which similar ones are neighbours. Level l has 2^l groups. For
// the kernels of any instruction set, hence in plain pointers.
struct Pruning {
    const int64_t* order;  // (n,)
    const float* boxes;    // for each group, level after level: the least offsets (width,), then the largest
    const int* levels;     // `depth` of them, whose bounds are computed, from the top down
    int depth;
};

// The first place of a group in the order of n hypotheses.
static inline int64_t group_edge(int64_t n, int level, int64_t group) { return group * n >> level; }

// Where the box of a group starts.
static inline int64_t box_at(int width, int level, int64_t group) { return 2 * width * ((int64_t(1) << level) - 1 + group); }

// One instruction set's way to decide pixels of many hypotheses at once, for bits and labels of one class; see pruning.py.
// It takes weights that a Decoder has packed, and scratch memory as that does.
struct Pruner {
    int64_t pixels;  // at most, of one call of `run`; a multiple of 64
    int probed;      // pixels of one call of `open_pixels`
    size_t (*scratch_bytes)(const Job&, int levels);
    // How many of `probed` pixels from `first` on the bounds of offsets between `low` and `high` leave open.
    int (*open_pixels)(const Job&, const void* packed, void* scratch, int64_t image, int64_t first, const float* low,
                       const float* high);
    // Decodes the hypotheses of one group of the first of the levels, `pixels` pixels from `first` on.
    void (*run)(const Job&, const Pruning&, const void* packed, void* scratch, int64_t image, int64_t first, int64_t group);
};

// One instruction set's way through a Job. `pack` lays the weights out as `run` wants them; `run` decodes one block of
// `block` pixels, all hypotheses. Packed weights and scratch memory are aligned to 64 bytes; scratch is zero at first.
struct Decoder {
    int block;
    size_t (*packed_bytes)(const Job&);
    void (*pack)(const Job&, void* packed);
    size_t (*scratch_bytes)(const Job&);
    void (*run)(const Job&, const void* packed, void* scratch, int64_t image, int64_t first);
    void (*enter)();  // on each thread before its first block, and after its last
    void (*leave)();
    const Pruner* pruner;  // null if there is none
};

// The gradients of a Job's logits: what is given, and where results go. The pixels of an image are divided into parts,
// and what is summed over pixels is summed over those of each part.
struct Gradients {
    const float* logits;      // (images, n, classes, pixels), the gradient of the logits
    const Layer* transposes;  // of the Job's layers, without biases
    int64_t parts;
    int64_t size;     // weights and biases of all layers
    float* base;      // (images, pixels, width)
    double* offset;   // (images, parts, n, width), zero on entry
    double* weights;  // (images, parts, size), each layer's weight (out, in), then its bias
};

// One instruction set's way to them, in float32, as Decoder is to a Job; `run` does one part of an image.
struct GradientKernel {
    int block;
    size_t (*packed_bytes)(const Job&);
    void (*pack)(const Job&, const Gradients&, void* packed);
    size_t (*scratch_bytes)(const Job&);
    void (*run)(const Job&, const Gradients&, const void* packed, void* scratch, int64_t image, int64_t part, int64_t first,
                int64_t last);
};

// Hypotheses whose logits are a low-rank normal: mean + sum of factor[r] e[r] + sigma * noise, see low_rank.py. Of the job
// they use images, n, classes, pixels, the output and where it goes.
struct LowRankJob {
    Job job;
    const float* mean;    // (images, classes, pixels)
    const float* factor;  // (images, rank, classes, pixels)
    const float* sigma;   // (images, classes, pixels)
    const float* e;       // (images, n, rank)
    const int64_t* ids;   // (images,)
    uint64_t seed;
    int64_t first;  // number of the first hypothesis
    int rank;
    bool skips;  // whether noise that cannot change a label is left out
};

// One instruction set's way to them: `run` draws all hypotheses of `stretch` pixels. Scratch memory as for Decoder.
struct LowRankKernel {
    int stretch;
    size_t (*scratch_bytes)(const LowRankJob&);
    void (*run)(const LowRankJob&, void* scratch, int64_t image, int64_t first);
};

// What one instruction set offers.
struct Kernels {
    const Decoder* ieee;
    const Decoder* bf16;
    // shared[4 * i + j] = popcount(a[i] & b[j]) for four by four masks of `words` words.
    void (*overlap)(const uint32_t* const a[4], const uint32_t* const b[4], int64_t words, int32_t shared[16]);
    // Bit i is set where labels[i] == wanted, for 32 labels.
    uint32_t (*equal)(const uint8_t* labels, uint8_t wanted);
    // Runs nothing but multiply-adds and returns how many floating-point operations these were.
    double (*multiply_add)(int64_t rounds);
    const GradientKernel* gradients;
    const BlockKernel* blocks;
    const LowRankKernel* low_rank;
};

}  // namespace fastpunet
