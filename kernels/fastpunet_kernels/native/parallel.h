// Loops over OpenMP's threads, which are PyTorch's own where both are linked to the same library; memory for them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace fastpunet {

// How many of `threads` are worth their start for this much work, in units of about a nanosecond.
inline int worthwhile(int threads, double nanoseconds) {
    const double enough = nanoseconds / 20000;
    return enough < 1 ? 1 : enough < threads ? int(enough) : threads;
}

inline int thread_number() {
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

struct Free {
    void operator()(char* memory) const { std::free(memory); }
};

// Zeroed bytes, aligned to 64.
inline std::unique_ptr<char, Free> zeroed(size_t bytes) {
    bytes = (bytes + 64) / 64 * 64;
    char* memory = static_cast<char*>(std::aligned_alloc(64, bytes));
    if (!memory) throw std::bad_alloc();
    std::memset(memory, 0, bytes);
    return std::unique_ptr<char, Free>(memory);
}

}  // namespace fastpunet
