// AVX2 with FMA and POPCNT: x86-64 since 2013.

#include "capability.h"

#ifdef FASTPUNET_X86

#include <cstring>
#include <type_traits>

#include <immintrin.h>

#pragma GCC target("avx2,fma,popcnt")
#define USE_AVX2

namespace fastpunet {
namespace avx2 {
#include "kernels.h"

const Pruner ieee_pruner = pruner<Float32>();
const Decoder ieee = decoder<Dense<Float32>>(&ieee_pruner);
}  // namespace avx2

extern const Kernels avx2_kernels = {&avx2::ieee, nullptr, avx2::overlap, avx2::equal, avx2::multiply_add,
                                     &avx2::gradients, &avx2::blocks, &avx2::low_rank_kernel};

}  // namespace fastpunet

#endif
