// The kernels of one instruction set. Each of its files chooses the set (USE_...), includes this in a namespace of its
// own and lists them in a table. LANES: floats of a vector; BLOCK: pixels decoded together; TILE: output channels that
// are computed together, so that TILE * BLOCK / LANES sums and what they need fit the registers.

#if defined(USE_AVX512)
constexpr int LANES = 16, BLOCK = 3 * LANES, TILE = 8;  // 24 sums in 32 registers
#elif defined(USE_AVX2)
constexpr int LANES = 8, BLOCK = 3 * LANES, TILE = 4;  // 12 sums in 16 registers
#else
constexpr int LANES = 4, BLOCK = 4 * LANES, TILE = 2;  // 8 sums in 16 registers, without a fused multiply-add
#endif

constexpr int BOUNDED = 2 * LANES;

#include "simd.h"

#include "block_pairs.h"
#include "maps.h"

#include "decode.h"
#include "dense.h"

#include "bounds.h"

#include "prune.h"

#include "equal.h"
#include "gradients.h"
#include "normals.h"

#include "low_rank.h"
#include "multiply_add.h"
#include "overlap.h"
