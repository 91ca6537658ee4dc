#include <chrono>

#include "ops.h"
#include "parallel.h"

namespace fastpunet {

double multiply_add_rate(const Kernels& kernels, int threads, double seconds) {
    typedef std::chrono::steady_clock Clock;
    double operations = 0;
    const auto start = Clock::now();
    const auto elapsed = [start] { return std::chrono::duration<double>(Clock::now() - start).count(); };
#pragma omp parallel num_threads(threads) reduction(+ : operations)
    while (elapsed() < seconds) operations += kernels.multiply_add(100000);
    return operations / elapsed();
}

}  // namespace fastpunet
