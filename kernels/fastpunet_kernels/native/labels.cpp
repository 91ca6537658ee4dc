#include <algorithm>
#include <cstring>

#include "ops.h"
#include "parallel.h"

namespace fastpunet {

namespace {

constexpr uint64_t EACH_BYTE = 0x0101010101010101;

// bytes[b] has a byte of ones for every bit that is set in b.
struct Spread {
    uint64_t bytes[256];

    Spread() {
        for (int b = 0; b < 256; b++) {
            uint8_t all[8];
            for (int i = 0; i < 8; i++) all[i] = b >> i & 1 ? 255 : 0;
            std::memcpy(bytes + b, all, 8);
        }
    }
};

}  // namespace

void pack_labels(const uint8_t* labels, int64_t count, int64_t pixels, const uint8_t* wanted, int classes,
                 const Kernels& kernels, int threads, uint32_t* out) {
    const int64_t words = (pixels + 31) / 32;
    threads = worthwhile(threads, double(count * words) * classes * 2);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t row = 0; row < count * words; row++) {
        const int64_t mask = row / words, word = row % words, left = pixels - 32 * word;
        const uint8_t* some = labels + mask * pixels + 32 * word;
        uint8_t copy[32] = {};
        uint32_t exist = 0xffffffffu;
        if (left < 32) {
            std::memcpy(copy, some, size_t(left));
            some = copy;
            exist = (1u << left) - 1;
        }
        for (int k = 0; k < classes; k++) out[(mask * classes + k) * words + word] = kernels.equal(some, wanted[k]) & exist;
    }
}

void unpack_labels(const uint32_t* words, int64_t count, int classes, int64_t pixels, int threads, uint8_t* out) {
    static const Spread spread;
    const int64_t per_plane = (pixels + 31) / 32;
    threads = worthwhile(threads, double(count * per_plane) * classes * 8);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t row = 0; row < count * per_plane; row++) {
        const int64_t mask = row / per_plane, word = row % per_plane;
        uint64_t some[4];  // labels of 32 pixels, eight a word
        std::fill(some, some + 4, classes == 1 ? 0 : ~uint64_t(0));
        for (int k = classes - 1; k >= 0; k--) {
            const uint32_t bits = words[(mask * classes + k) * per_plane + word];
            const uint64_t label = EACH_BYTE * uint64_t(classes == 1 ? 1 : k);
            for (int i = 0; i < 4; i++) {
                const uint64_t set = spread.bytes[bits >> 8 * i & 0xff];
                some[i] = (some[i] & ~set) | (label & set);
            }
        }
        std::memcpy(out + mask * pixels + 32 * word, some, size_t(std::min<int64_t>(32, pixels - 32 * word)));
    }
}

}  // namespace fastpunet
