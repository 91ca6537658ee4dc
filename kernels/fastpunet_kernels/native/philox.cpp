// Counter-based noise: Philox4x32-10 (Salmon et al., SC 2011) and Box-Muller, word for word as in reference.py.
#include <algorithm>
#include <cmath>

#include "ops.h"
#include "parallel.h"

namespace fastpunet {

namespace {

struct Words {
    uint32_t w[4];
};

Words philox_4x32(Words c, uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        const uint64_t left = uint64_t(0xD2511F53u) * c.w[0], right = uint64_t(0xCD9E8D57u) * c.w[2];
        c = {{uint32_t(right >> 32) ^ c.w[1] ^ k0, uint32_t(right), uint32_t(left >> 32) ^ c.w[3] ^ k1, uint32_t(left)}};
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

float uniform(uint32_t word) { return float(word) * 0x1p-32f + 0x1p-33f; }

// Two words to two normals.
void box_muller(uint32_t first, uint32_t second, float* normals) {
    const float radius = std::sqrt(-2.0f * std::log(uniform(first))), angle = 6.2831853071795864f * uniform(second);
    normals[0] = radius * std::cos(angle);
    normals[1] = radius * std::sin(angle);
}

}  // namespace

void philox_normal(uint64_t seed, const int64_t* ids, int64_t images, int64_t first, int64_t n, int dim, int threads,
                   float* out) {
    threads = worthwhile(threads, double(images * n) * dim * 20);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t row = 0; row < images * n; row++) {
        const uint64_t id = uint64_t(ids[row / n]);
        for (int d = 0; d < dim; d += 4) {
            const Words counter{{uint32_t(first + row % n), uint32_t(d / 4), uint32_t(id), uint32_t(id >> 32)}};
            const Words words = philox_4x32(counter, uint32_t(seed), uint32_t(seed >> 32));
            float normals[4];
            box_muller(words.w[0], words.w[1], normals);
            box_muller(words.w[2], words.w[3], normals + 2);
            std::copy(normals, normals + std::min(4, dim - d), out + row * dim + d);
        }
    }
}

}  // namespace fastpunet
