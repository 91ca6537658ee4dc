#include "capability.h"

#ifdef FASTPUNET_X86
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace fastpunet {

extern const Kernels portable_kernels;

#ifdef FASTPUNET_X86

extern const Kernels avx2_kernels, avx512_kernels, avx512_vpopcntdq_kernels, avx512_bf16_kernels, amx_kernels;

static bool amx_granted() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    const unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & amx_bf16) || !(d & amx_tile)) return false;
#if defined(__linux__) && defined(SYS_arch_prctl)
    const int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

int detect_capability() {
    __builtin_cpu_init();
#define HAS(feature) __builtin_cpu_supports(feature)
    if (!(HAS("avx2") && HAS("fma") && HAS("popcnt"))) return 0;
    if (!(HAS("avx512f") && HAS("avx512bw") && HAS("avx512dq") && HAS("avx512vl") && HAS("bmi2"))) return 1;
    if (!HAS("avx512vpopcntdq")) return 2;
    if (!HAS("avx512bf16")) return 3;
#undef HAS
    if (amx_granted()) return 5;
    return __builtin_cpu_is("amd") ? 4 : 3;  // Intel's dot product does half the work of its float32 multiply-adds
}

const Kernels& kernels_of(int capability) {
    static const Kernels* const all[] = {&portable_kernels,         &avx2_kernels,        &avx512_kernels,
                                         &avx512_vpopcntdq_kernels, &avx512_bf16_kernels, &amx_kernels};
    return *all[capability];
}

#else

int detect_capability() { return 0; }

const Kernels& kernels_of(int) { return portable_kernels; }

#endif

}  // namespace fastpunet
