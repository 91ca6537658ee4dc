// All pairs of masks, in tiles whose columns stay in the first-level cache and whose rows in the second; a set with itself
// in half of them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "ops.h"
#include "parallel.h"
#include "pairs_within.h"

namespace fastpunet {

namespace {

constexpr int64_t ROW_BYTES = 128 << 10, COLUMN_BYTES = 32 << 10;

// Whether both are one set; a set and a part of it may begin at the same place.
bool same_masks(const Masks& a, const Masks& b) { return a.words == b.words && a.count == b.count; }

// How many masks of that size fit, in fours, at least one four.
int64_t masks_in(int64_t cache, int64_t mask_bytes) {
    return std::max<int64_t>(1, std::min<int64_t>(16, cache / std::max<int64_t>(mask_bytes, 1) / 4)) * 4;
}

// Where a plane has bits: words [first, last). Masks are mostly empty around an object, and what is empty in one of two
// masks cannot be shared.
struct Span {
    int64_t first, last;

    Span(const uint32_t* plane, int64_t words) : first(0), last(words) {
        while (first < words && plane[first] == 0) first++;
        while (last > 0 && plane[last - 1] == 0) last--;
    }
    void include(Span other) { first = std::min(first, other.first), last = std::max(last, other.last); }
};

// Four masks of one image, one class of them; those beyond the last mask repeat it.
struct Four {
    const uint32_t* words[4];
    Span span;

    Four(const Masks& masks, int64_t image, int64_t first, int k) : words{}, span(nullptr, 0) {
        span.first = masks.per_plane;
        for (int r = 0; r < 4; r++) {
            const int64_t mask = image * masks.count + std::min(first + r, masks.count - 1);
            words[r] = masks.words + (mask * masks.classes + k) * masks.per_plane;
            span.include(Span(words[r], masks.per_plane));
        }
    }
};

// (images, ceil(count / 4), classes)
std::vector<Four> fours(const Masks& masks) {
    std::vector<Four> out;
    for (int64_t image = 0; image < masks.images; image++)
        for (int64_t i = 0; i < masks.count; i += 4)
            for (int k = 0; k < masks.classes; k++) out.emplace_back(masks, image, i, k);
    return out;
}

// The pixels that two fours share, where both have any.
void overlap(const Four& a, const Four& b, const Kernels& kernels, int32_t shared[16]) {
    const int64_t first = std::max(a.span.first, b.span.first), last = std::min(a.span.last, b.span.last);
    if (first >= last) {
        std::fill(shared, shared + 16, 0);
        return;
    }
    const uint32_t *x[4], *y[4];
    for (int r = 0; r < 4; r++) x[r] = a.words[r] + first, y[r] = b.words[r] + first;
    kernels.overlap(x, y, last - first, shared);
}

// Four by four pairs of one image, from (i, j) on; those beyond the last mask repeat it.
struct Pairs {
    int64_t image, i, j;
    int rows, columns;       // that exist
    const int32_t* shared;   // (classes, 4, 4)
};

// Calls use(thread, pairs) for all pairs of all images, or for those of its fours with j >= i if a is b.
template <class Use>
void for_pairs(const Masks& a, const Masks& b, bool symmetric, const Kernels& kernels, int threads, Use use) {
    const int64_t mask = a.per_plane * a.classes;
    const int64_t high = masks_in(ROW_BYTES, 4 * mask), wide = masks_in(COLUMN_BYTES, 4 * mask);
    const int64_t down = (a.count + high - 1) / high, across = (b.count + wide - 1) / wide, tiles = a.images * down * across;
    const std::vector<Four> rows_of = fours(a), own = symmetric ? std::vector<Four>() : fours(b);
    const std::vector<Four>& columns_of = symmetric ? rows_of : own;
    const int64_t fours_a = (a.count + 3) / 4, fours_b = (b.count + 3) / 4;
    threads = worthwhile(threads, double(a.images * a.count) * double(b.count * mask) / (symmetric ? 32 : 16));
    std::vector<int32_t> memory(size_t(threads) * 16 * size_t(a.classes));
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t image = tile / (down * across), top = tile / across % down * high, left = tile % across * wide;
        if (symmetric && left + wide <= top) continue;
        int32_t* shared = memory.data() + size_t(thread_number()) * 16 * size_t(a.classes);
        for (int64_t i = top; i < std::min(top + high, a.count); i += 4) {
            for (int64_t j = symmetric ? std::max(i, left) : left; j < std::min(left + wide, b.count); j += 4) {
                for (int k = 0; k < a.classes; k++) {
                    const Four& x = rows_of[size_t((image * fours_a + i / 4) * a.classes + k)];
                    const Four& y = columns_of[size_t((image * fours_b + j / 4) * a.classes + k)];
                    overlap(x, y, kernels, shared + 16 * k);
                }
                const int rows = int(std::min<int64_t>(4, a.count - i)), columns = int(std::min<int64_t>(4, b.count - j));
                use(thread_number(), Pairs{image, i, j, rows, columns, shared});
            }
        }
    }
}

// Pixels of each mask and class: (images, count, classes).
std::vector<int32_t> areas(const Masks& masks, const Kernels& kernels) {
    const int64_t planes = masks.images * masks.count * masks.classes;
    std::vector<int32_t> out(static_cast<size_t>(planes));
    for (int64_t p = 0; p < planes; p += 4) {
        const uint32_t* x[4];
        for (int r = 0; r < 4; r++) x[r] = masks.words + std::min(p + r, planes - 1) * masks.per_plane;
        int32_t shared[16];
        kernels.overlap(x, x, masks.per_plane, shared);
        for (int r = 0; r < 4 && p + r < planes; r++) out[size_t(p + r)] = shared[5 * r];
    }
    return out;
}

// Writes the first rows and columns of a four by four square, `step` apart within a row.
template <class T>
void write_square(T* out, int64_t row, int64_t step, const T square[16], int rows, int columns) {
    for (int r = 0; r < rows; r++, out += row) {
        if (step == 1 && columns == 4)
            std::memcpy(out, square + 4 * r, 4 * sizeof(T));
        else
            for (int c = 0; c < columns; c++) out[c * step] = square[4 * r + c];
    }
}

}  // namespace

// Fills out (images, a.count, b.count, classes) with value(pixels shared, mask of a, mask of b, class) of every pair.
template <class T, class Value>
void fill_pairs(const Masks& a, const Masks& b, const Kernels& kernels, int threads, T* out, Value value) {
    const bool symmetric = same_masks(a, b);
    const int64_t classes = a.classes, row = b.count * classes;
    for_pairs(a, b, symmetric, kernels, threads, [&](int, const Pairs& pairs) {
        const int64_t i = pairs.i, j = pairs.j, first_a = pairs.image * a.count, first_b = pairs.image * b.count;
        T* image = out + first_a * row;
        for (int k = 0; k < classes; k++) {
            T values[16] = {}, mirrored[16];
            const auto evaluate = [&](int rows, int columns) {
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < columns; c++)
                        values[4 * r + c] = value(pairs.shared[16 * k + 4 * r + c], first_a + i + r, first_b + j + c, k);
            };
            if (pairs.rows == 4 && pairs.columns == 4)
                evaluate(4, 4);  // constants, which the compiler unrolls
            else
                evaluate(pairs.rows, pairs.columns);
            write_square(image + i * row + j * classes + k, row, classes, values, pairs.rows, pairs.columns);
            if (!symmetric) continue;
            for (int p = 0; p < 16; p++) mirrored[p % 4 * 4 + p / 4] = values[p];
            write_square(image + j * row + i * classes + k, row, classes, mirrored, pairs.columns, pairs.rows);
        }
    });
}

void pairwise_intersection(const Masks& a, const Masks& b, const Kernels& kernels, int threads, int32_t* out) {
    fill_pairs(a, b, kernels, threads, out, [](int32_t shared, int64_t, int64_t, int) { return shared; });
}

void mask_iou(const Masks& a, const Masks& b, float empty, const Kernels& kernels, int threads, float* out) {
    const std::vector<int32_t> area_a = areas(a, kernels), area_b = same_masks(a, b) ? area_a : areas(b, kernels);
    const int32_t *left = area_a.data(), *right = area_b.data();
    const int classes = a.classes;
    fill_pairs(a, b, kernels, threads, out, [=](int32_t shared, int64_t i, int64_t j, int k) {
        const int32_t either = left[i * classes + k] + right[j * classes + k] - shared;
        return either == 0 ? empty : float(shared) / float(either);
    });
}

void iou_of_pairs(const Masks& masks, const int64_t* first, const int64_t* second, int64_t pairs, double empty,
                  const Kernels& kernels, int threads, double* out) {
    const std::vector<int32_t> area = areas(masks, kernels);
    const int classes = masks.classes;
    const int64_t fours_of_pairs = (pairs + 3) / 4;
    threads = worthwhile(threads, double(masks.images * pairs) * double(classes * masks.per_plane));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t four = 0; four < masks.images * fours_of_pairs; four++) {
        const int64_t image = four / fours_of_pairs, start = four % fours_of_pairs * 4;
        for (int k = 0; k < classes; k++) {
            const uint32_t *x[4], *y[4];
            int64_t i[4], j[4];
            for (int r = 0; r < 4; r++) {
                const int64_t pair = std::min(start + r, pairs - 1);
                i[r] = (image * masks.count + first[pair]) * classes + k, j[r] = (image * masks.count + second[pair]) * classes + k;
                x[r] = masks.words + i[r] * masks.per_plane, y[r] = masks.words + j[r] * masks.per_plane;
            }
            int32_t shared[16];
            kernels.overlap(x, y, masks.per_plane, shared);
            for (int r = 0; r < 4 && start + r < pairs; r++) {
                const int32_t either = area[size_t(i[r])] + area[size_t(j[r])] - shared[5 * r];
                out[(image * pairs + start + r) * classes + k] = either == 0 ? empty : double(shared[5 * r]) / either;
            }
        }
    }
}

namespace {

// The sums of every image; areas: (images, count, classes).
std::vector<DistanceSums> sums_of_pairs(const Masks& a, const Masks& b, bool symmetric, const double* weights_a,
                                        const double* weights_b, const int32_t* areas_a, const int32_t* areas_b, double empty,
                                        const Kernels& kernels, int threads) {
    const int classes = a.classes;
    std::vector<DistanceSums> each(size_t(threads) * size_t(a.images));  // (threads, images)
    for_pairs(a, b, symmetric, kernels, threads, [&](int thread, const Pairs& pairs) {
        DistanceSums& sums = each[size_t(thread * a.images + pairs.image)];
        for (int r = 0; r < pairs.rows; r++)
            for (int c = 0; c < pairs.columns; c++) {
                const int64_t i = pairs.i + r, j = pairs.j + c;
                if (symmetric && j < i) continue;
                const int64_t row = pairs.image * a.count + i, column = pairs.image * b.count + j;
                double iou = 0;
                int counted = 0;
                for (int k = 0; k < classes; k++) {
                    const int32_t shared = pairs.shared[16 * k + 4 * r + c];
                    const int32_t either = areas_a[row * classes + k] + areas_b[column * classes + k] - shared;
                    if (either == 0 && std::isnan(empty)) continue;
                    iou += either == 0 ? empty : double(shared) / either;
                    counted++;
                }
                if (counted == 0) continue;
                const double weight = weights_a[row] * weights_b[column];
                const int times = symmetric && i != j ? 2 : 1;
                sums.distance.add(weight * (1 - iou / counted), times);
                sums.weight.add(weight, times);
            }
    });
    for (size_t other = size_t(a.images); other < each.size(); other++) each[other % size_t(a.images)].add(each[other]);
    each.resize(size_t(a.images));
    return each;
}

std::vector<DistanceSums> sums_within(const Masks& masks, const double* weights, const int32_t* areas, double empty,
                                      const Kernels& kernels, int threads, const Interrupted& interrupted) {
    std::vector<DistanceSums> out;
    for (int64_t image = 0; image < masks.images; image++) {
        const int64_t first = image * masks.count;
        out.push_back(distance_sums_within(masks, image, weights + first, areas + first * masks.classes, empty, kernels,
                                           threads, interrupted));
    }
    return out;
}

constexpr int64_t MANY = 256;  // fewer masks are compared sooner than they are arranged

}  // namespace

void distance_sums(const Masks& a, const Masks& b, const double* weights_a, const double* weights_b, double empty,
                   const Kernels& kernels, int threads, const Interrupted& interrupted, double* out) {
    const bool symmetric = same_masks(a, b) && weights_a == weights_b;
    const std::vector<int32_t> area_a = areas(a, kernels), area_b = symmetric ? std::vector<int32_t>() : areas(b, kernels);
    const int32_t *left = area_a.data(), *right = symmetric ? left : area_b.data();
    const std::vector<DistanceSums> sums =
        symmetric && a.count >= MANY
            ? sums_within(a, weights_a, left, empty, kernels, threads, interrupted)
            : sums_of_pairs(a, b, symmetric, weights_a, weights_b, left, right, empty, kernels, threads);
    for (size_t image = 0; image < sums.size(); image++) {
        out[2 * image] = sums[image].distance.value();
        out[2 * image + 1] = sums[image].weight.value();
    }
}

}  // namespace fastpunet
