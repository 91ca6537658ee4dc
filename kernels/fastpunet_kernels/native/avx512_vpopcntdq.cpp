// AVX-512 with a population count of its own: Ice Lake.

#include "capability.h"

#ifdef FASTPUNET_X86

#include <cstring>
#include <type_traits>

#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,popcnt,bmi2,avx512vpopcntdq")
#define USE_AVX512
#define USE_VPOPCNTDQ

namespace fastpunet {
namespace avx512_vpopcntdq {
#include "kernels.h"

const Pruner ieee_pruner = pruner<Float32>();
const Decoder ieee = decoder<Dense<Float32>>(&ieee_pruner);
}  // namespace avx512_vpopcntdq

extern const Kernels avx512_vpopcntdq_kernels = {&avx512_vpopcntdq::ieee, nullptr, avx512_vpopcntdq::overlap,
                                                 avx512_vpopcntdq::equal, avx512_vpopcntdq::multiply_add,
                                                 &avx512_vpopcntdq::gradients, &avx512_vpopcntdq::blocks, &avx512_vpopcntdq::low_rank_kernel};

}  // namespace fastpunet

#endif
