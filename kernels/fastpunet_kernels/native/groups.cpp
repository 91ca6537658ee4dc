#include "groups.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <numeric>

#include "parallel.h"

namespace fastpunet {

namespace {

constexpr int64_t SAMPLED = 64;  // hypotheses of a group that tell its direction
constexpr int ROUNDS = 3;         // of the power iteration

// x . y, in double, for offsets may be close to the largest float.
double product(const float* x, const float* y, int width) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < width; c++) sum += double(x[c]) * double(y[c]);
    return sum;
}

// The leading principal direction of the offsets of `count` hypotheses by power iteration, roughly: any would be correct.
// Its components add up to at most 1, so that no product with offsets overflows.
void principal_direction(const float* offset, int width, const int64_t* members, int64_t count, float* direction) {
    const int64_t step = (count + SAMPLED - 1) / SAMPLED, used = (count + step - 1) / step;
    std::vector<double> mean(size_t(width), 0.0), sum(size_t(width), 0.0);
    for (int64_t i = 0; i < count; i += step)
        for (int c = 0; c < width; c++) mean[size_t(c)] += double(offset[members[i] * width + c]) / double(used);
    std::vector<float> centred(size_t(used * width));
    float largest = 0;
    int64_t furthest = 0;  // the member to start from
    for (int64_t i = 0; i < used; i++)
        for (int c = 0; c < width; c++) {
            const float away = float(double(offset[members[i * step] * width + c]) - mean[size_t(c)]);
            centred[size_t(i * width + c)] = away;
            if (std::fabs(away) > largest) largest = std::fabs(away), furthest = i;
        }
    std::copy_n(centred.data() + furthest * width, width, direction);
    const auto normalise = [&](auto* values, double most) {
        for (int c = 0; c < width; c++) direction[c] = most > 0 ? float(double(values[c]) / most / width) : 0.0f;
    };
    normalise(direction, largest);
    for (int r = 0; r < ROUNDS; r++) {
        std::fill(sum.begin(), sum.end(), 0.0);
        for (int64_t i = 0; i < used; i++) {
            const float* x = centred.data() + i * width;
            const double along = product(x, direction, width);
            for (int c = 0; c < width; c++) sum[size_t(c)] += along * double(x[c]);
        }
        double most = 0;
        for (double value : sum) most = std::max(most, std::fabs(value));
        if (most > 0) normalise(sum.data(), most);
    }
}

// Reorders `count` members so that the first `half` are those that are least far along the principal direction.
void divide(const float* offset, int width, int64_t* members, int64_t count, int64_t half) {
    if (count < 2) return;
    std::vector<float> direction(size_t(width), 0.0f);
    principal_direction(offset, width, members, count, direction.data());
    std::vector<std::pair<float, int64_t>> placed(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; i++)
        placed[size_t(i)] = {float(product(offset + members[i] * width, direction.data(), width)), members[i]};
    std::nth_element(placed.begin(), placed.begin() + half, placed.end());
    for (int64_t i = 0; i < count; i++) members[i] = placed[size_t(i)].second;
}

// The box of a group: that of both its halves, or, at the finest level, of its members.
void bound(const float* offset, int64_t n, int width, int finest, int level, int64_t group, Groups& groups) {
    float* low = groups.boxes.data() + box_at(width, level, group);
    float* high = low + width;
    std::fill(low, high, FLT_MAX);
    std::fill(high, high + width, -FLT_MAX);
    const auto widen = [=](const float* least, const float* most) {
        for (int c = 0; c < width; c++) {
            low[c] = std::min(low[c], least[c]);
            high[c] = std::max(high[c], most[c]);
        }
    };
    if (level < finest)
        for (int64_t half = 2 * group; half < 2 * group + 2; half++) {
            const float* box = groups.boxes.data() + box_at(width, level + 1, half);
            widen(box, box + width);
        }
    else
        for (int64_t i = group_edge(n, level, group); i < group_edge(n, level, group + 1); i++) {
            const float* row = offset + groups.order[size_t(i)] * width;
            widen(row, row);
        }
}

}  // namespace

std::vector<Groups> groups_of(const float* offset, int64_t images, int64_t n, int width, int finest, int threads) {
    std::vector<Groups> all(static_cast<size_t>(images));
    for (Groups& groups : all) {
        groups.order.resize(size_t(n));
        std::iota(groups.order.begin(), groups.order.end(), 0);
        groups.boxes.resize(size_t(box_at(width, finest + 1, 0)));
    }
    threads = worthwhile(threads, double(images * n) * width * 8);
    for (int level = 0; level < finest; level++)
#pragma omp parallel for num_threads(threads) schedule(dynamic)
        for (int64_t i = 0; i < images << level; i++) {
            const int64_t image = i >> level, group = i - (image << level);
            const int64_t first = group_edge(n, level, group), last = group_edge(n, level, group + 1);
            divide(offset + image * n * width, width, all[size_t(image)].order.data() + first, last - first,
                   group_edge(n, level + 1, 2 * group + 1) - first);
        }
    for (int level = finest; level >= 0; level--)
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t i = 0; i < images << level; i++) {
            const int64_t image = i >> level;
            bound(offset + image * n * width, n, width, finest, level, i - (image << level), all[size_t(image)]);
        }
    return all;
}

}  // namespace fastpunet
