// Which instruction set runs: the best that processor and system offer, or any lower one that is asked for.
#pragma once

#include "job.h"

#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 11 && !defined(__clang__)
#define FASTPUNET_X86  // GCC's pragmas choose an instruction set for a part of a file; since 11 it knows them all
#endif

namespace fastpunet {

constexpr const char* CAPABILITIES[] = {"portable", "avx2", "avx512", "avx512_vpopcntdq", "avx512_bf16", "amx"};

// Index of the best one here; asks Linux for the use of AMX tiles. Those below it can run as well.
int detect_capability();

// Its kernels, or those of one below it.
const Kernels& kernels_of(int capability);

}  // namespace fastpunet
