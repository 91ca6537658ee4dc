// AVX-512 as of Skylake-X.

#include "capability.h"

#ifdef FASTPUNET_X86

#include <cstring>
#include <type_traits>

#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,popcnt,bmi2")
#define USE_AVX512

namespace fastpunet {
namespace avx512 {
#include "kernels.h"

const Pruner ieee_pruner = pruner<Float32>();
extern const Decoder ieee = decoder<Dense<Float32>>(&ieee_pruner);
}  // namespace avx512

extern const Kernels avx512_kernels = {&avx512::ieee, nullptr, avx512::overlap, avx512::equal, avx512::multiply_add,
                                       &avx512::gradients, &avx512::blocks, &avx512::low_rank_kernel};

}  // namespace fastpunet

#endif
