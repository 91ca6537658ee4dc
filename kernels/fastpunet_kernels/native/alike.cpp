#include "alike.h"

#include <algorithm>
#include <cstring>

#include "parallel.h"

namespace fastpunet {

namespace {

// One image of Masks.
struct Image {
    int64_t count, per_mask, per_plane;
    int classes;
    const uint32_t* words;  // (count, per_mask)

    Image(const Masks& masks, int64_t image)
        : count(masks.count), per_mask(masks.classes * masks.per_plane), per_plane(masks.per_plane), classes(masks.classes),
          words(masks.words + image * count * per_mask) {}
    const uint32_t* mask(int64_t i) const { return words + i * per_mask; }

    // Pixels 64 w .. 64 w + 63 of a mask's class.
    uint64_t pixels(int64_t i, int k, int64_t w) const {
        const uint32_t* plane = mask(i) + k * per_plane;
        const uint64_t high = 2 * w + 1 < per_plane ? plane[2 * w + 1] : 0;
        return high << 32 | plane[2 * w];
    }
};

uint64_t hash_of(const uint32_t* words, int64_t count) {
    uint64_t hash = uint64_t(count);
    const auto mix = [&](uint64_t next) {
        hash = (hash ^ next) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
    };
    for (int64_t w = 0; w + 1 < count; w += 2) mix(uint64_t(words[w + 1]) << 32 | words[w]);
    if (count % 2) mix(words[count - 1]);
    return hash;
}

// The class whose area varies most.
int most_varied(const int32_t* areas, int64_t count, int classes) {
    int found = 0;
    double most = -1;
    for (int k = 0; k < classes; k++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < count; i++) {
            const double area = areas[i * classes + k];
            sum += area, squares += area * area;
        }
        const double variation = squares - sum * sum / double(count);
        if (variation > most) most = variation, found = k;
    }
    return found;
}

struct Found {
    int32_t area;
    uint64_t hash;
    double weight;
    int64_t place;

    bool operator<(const Found& other) const {
        if (area != other.area) return area < other.area;
        if (hash != other.hash) return hash < other.hash;
        return weight != other.weight ? weight < other.weight : place < other.place;
    }
};

bool equal(const Image& image, const Found& a, const Found& b) {
    const size_t bytes = size_t(image.per_mask) * sizeof(uint32_t);
    return a.hash == b.hash && a.weight == b.weight && std::memcmp(image.mask(a.place), image.mask(b.place), bytes) == 0;
}

// Every mask with its place in the image, sorted, equal ones of equal weight side by side.
std::vector<Found> sorted(const Image& image, const double* weights, const int32_t* areas, int threads) {
    std::vector<Found> masks(static_cast<size_t>(image.count));
    const int by = most_varied(areas, image.count, image.classes);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < image.count; i++)
        masks[size_t(i)] = {areas[i * image.classes + by], hash_of(image.mask(i), image.per_mask), weights[i], i};
    std::sort(masks.begin(), masks.end());
    return masks;
}

// Columns are sorted by the number of masks that have the pixel, so that a block's masks differ in a short run of them.
struct Columns {
    std::vector<int64_t> words;    // of 64 pixels, in which masks differ
    std::vector<int32_t> places;   // in the above, of the pixels in which masks differ: 64 * index + bit
    int32_t always = 0;
};

class Arranged {
  public:
    Arranged(const Image& image, const std::vector<int64_t>& order, const Kernels& kernels, int threads)
        : image(image), order(order), blocks((int64_t(order.size()) + 63) / 64), kernel(*kernels.blocks), threads(threads) {}

    // Pixels of class k in which masks differ.
    Columns columns(int k) const {
        Columns out;
        const size_t words = size_t(image.per_plane);
        std::vector<uint32_t> all(words + 1, ~uint32_t(0)), some(words + 1);
        all[words] = 0;
        for (const int64_t i : order) {
            const uint32_t* plane = image.mask(i) + k * image.per_plane;
            for (size_t w = 0; w < words; w++) all[w] &= plane[w], some[w] |= plane[w];
        }
        std::vector<uint64_t> differing;
        for (size_t w = 0; w < words; w += 2) {
            out.always += __builtin_popcount(all[w]) + __builtin_popcount(all[w + 1]);
            const uint64_t high = all[w + 1] ^ some[w + 1], low = all[w] ^ some[w];
            if (high | low) out.words.push_back(int64_t(w / 2)), differing.push_back(high << 32 | low);
        }
        std::vector<int64_t> having = counts(k, out.words);
        for (size_t w = 0; w < out.words.size(); w++)
            for (int bit = 0; bit < 64; bit++)
                if (differing[w] >> bit & 1) out.places.push_back(int32_t(64 * w + bit));
        std::stable_sort(out.places.begin(), out.places.end(),
                         [&](int32_t x, int32_t y) { return having[size_t(x)] > having[size_t(y)]; });
        return out;
    }

    AlikeClass plane(int k) const {
        const Columns found = columns(k);
        AlikeClass out;
        out.always = found.always;
        out.words = (int64_t(found.places.size()) + 63) / 64;
        const int64_t in_blocks = (int64_t(order.size()) + ALIKE - 1) / ALIKE;
        out.bits.resize(size_t(in_blocks * out.words * ALIKE));
        out.same.resize(size_t(in_blocks * out.words));
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            std::vector<uint64_t> pixels(64 * found.words.size() + 64);
            columns_of(block, k, found.words, pixels.data());
            for (int64_t w = 0; w < out.words; w++) {
                uint64_t chosen[64] = {};
                const int64_t left = std::min<int64_t>(64, int64_t(found.places.size()) - 64 * w);
                for (int64_t bit = 0; bit < left; bit++) chosen[bit] = pixels[size_t(found.places[size_t(64 * w + bit)])];
                kernel.transpose(chosen);
                for (int64_t part = 0; part < 64 / ALIKE; part++) {
                    const int64_t place = block * (64 / ALIKE) + part;
                    if (place >= in_blocks) break;
                    const uint64_t* masks = chosen + part * ALIKE;
                    std::memcpy(out.bits.data() + (place * out.words + w) * ALIKE, masks, ALIKE * sizeof(uint64_t));
                    out.same[size_t(place * out.words + w)] = std::equal(masks + 1, masks + ALIKE, masks);
                }
            }
        }
        return out;
    }

  private:
    const Image& image;
    const std::vector<int64_t>& order;
    int64_t blocks;  // of 64 masks
    const BlockKernel& kernel;
    int threads;

    // The 64 masks of a block at each pixel of the words: (words, 64). Masks beyond the last repeat it.
    void columns_of(int64_t block, int k, const std::vector<int64_t>& words, uint64_t* out) const {
        for (size_t w = 0; w < words.size(); w++, out += 64) {
            for (int64_t m = 0; m < 64; m++) {
                const size_t place = std::min(size_t(64 * block + m), order.size() - 1);
                out[m] = image.pixels(order[place], k, words[w]);
            }
            kernel.transpose(out);
        }
    }

    // How many masks have each pixel of the words; those beyond the last count as well.
    std::vector<int64_t> counts(int k, const std::vector<int64_t>& words) const {
        const size_t pixels = 64 * words.size();
        std::vector<int64_t> total(pixels), each(pixels * size_t(threads));
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            std::vector<uint64_t> columns(pixels);
            columns_of(block, k, words, columns.data());
            int64_t* own = each.data() + pixels * size_t(thread_number());
            for (size_t p = 0; p < pixels; p++) own[p] += __builtin_popcountll(columns[p]);
        }
        for (size_t p = 0; p < each.size(); p++) total[p % pixels] += each[p];
        return total;
    }
};

}  // namespace

Alike::Alike(const Masks& masks, int64_t which, const double* weights_of, const int32_t* areas_of, const Kernels& kernels,
             int threads)
    : classes(masks.classes) {
    const Image image(masks, which);
    const std::vector<Found> found = sorted(image, weights_of, areas_of, threads);
    std::vector<int64_t> order;
    for (size_t m = 0; m < found.size(); m++) {
        const Found& mask = found[m];
        if (m > 0 && equal(image, found[m - 1], mask)) {
            times.back()++;
            continue;
        }
        order.push_back(mask.place);
        weights.push_back(mask.weight);
        times.push_back(1);
    }
    blocks = (int64_t(order.size()) + ALIKE - 1) / ALIKE;
    times.resize(size_t(blocks * ALIKE)), weights.resize(times.size(), weights.back());
    areas.resize(times.size() * size_t(classes));
    for (size_t m = 0; m < times.size(); m++)
        for (int k = 0; k < classes; k++) {
            const int64_t place = order[std::min(m, order.size() - 1)];
            areas[(m / ALIKE * size_t(classes) + size_t(k)) * ALIKE + m % ALIKE] = areas_of[place * classes + k];
        }
    const Arranged arranged(image, order, kernels, threads);
    for (int k = 0; k < classes; k++) planes.push_back(arranged.plane(k));
}

}  // namespace fastpunet
