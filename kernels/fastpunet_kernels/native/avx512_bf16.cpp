// AVX-512 with a bfloat16 dot product: Zen 4.

#include "capability.h"

#ifdef FASTPUNET_X86

#include <cstring>
#include <type_traits>

#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,popcnt,bmi2,avx512vpopcntdq,avx512bf16")
#define USE_AVX512
#define USE_VPOPCNTDQ

namespace fastpunet {
namespace avx512_bf16 {
#include "kernels.h"

#include "bf16.h"

const Pruner ieee_pruner = pruner<Float32>();
const Decoder ieee = decoder<Dense<Float32>>(&ieee_pruner);
const Pruner bf16_pruner = pruner<Bfloat16>();
const Decoder bf16 = decoder<Dense<Bfloat16>>(&bf16_pruner);
}  // namespace avx512_bf16

extern const Kernels avx512_bf16_kernels = {&avx512_bf16::ieee, &avx512_bf16::bf16, avx512_bf16::overlap, avx512_bf16::equal,
                                           avx512_bf16::multiply_add, &avx512_bf16::gradients, &avx512_bf16::blocks, &avx512_bf16::low_rank_kernel};

}  // namespace fastpunet

#endif
