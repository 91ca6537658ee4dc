// AMX tiles in bfloat16, beside AVX-512: Sapphire Rapids.

#include "capability.h"

#ifdef FASTPUNET_X86

#include <cstring>
#include <type_traits>

#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,popcnt,bmi2,avx512vpopcntdq,avx512bf16,amx-tile,amx-bf16")
#define USE_AVX512
#define USE_VPOPCNTDQ

namespace fastpunet {
namespace amx {
#include "kernels.h"

#include "bf16.h"

#include "dense_amx.h"

const Pruner ieee_pruner = pruner<Float32>();
const Decoder ieee = decoder<Dense<Float32>>(&ieee_pruner);
const Decoder bf16 = decoder<DenseAmx>(nullptr);
}  // namespace amx

extern const Kernels amx_kernels = {&amx::ieee, &amx::bf16, amx::overlap, amx::equal, amx::multiply_add,
                                    &amx::gradients, &amx::blocks, &amx::low_rank_kernel};

}  // namespace fastpunet

#endif
