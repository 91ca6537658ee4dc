// For every processor: vectors are whatever the compiler's baseline offers (SSE2 on x86-64, NEON on arm64).

#include "capability.h"

#include <cstring>
#include <type_traits>

namespace fastpunet {
namespace portable {
#include "kernels.h"

const Pruner ieee_pruner = pruner<Float32>();
const Decoder ieee = decoder<Dense<Float32>>(&ieee_pruner);
}  // namespace portable

extern const Kernels portable_kernels = {&portable::ieee, nullptr, portable::overlap, portable::equal, portable::multiply_add,
                                         &portable::gradients, &portable::blocks, &portable::low_rank_kernel};

}  // namespace fastpunet
