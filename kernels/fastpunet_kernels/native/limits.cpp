#include "limits.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace fastpunet {

namespace {

constexpr double LARGEST = 1e38;  // float32 ends at 3.4e38; the rest is room for rounding

// The largest absolute value, or NaN if there is one.
double largest(const float* values, int64_t count) {
    float most = 0;
    bool numbers = true;
    for (int64_t i = 0; i < count; i++) {
        const float size = std::fabs(values[i]);
        numbers &= size == size;
        most = size > most ? size : most;
    }
    return numbers ? most : std::nan("");
}

void check_finite(const float* values, int64_t count, const std::string& name) {
    bool finite = true;
    for (int64_t i = 0; i < count; i++) finite &= std::fabs(values[i]) <= FLT_MAX;
    if (!finite)
        throw std::invalid_argument("decoder." + name + ": got NaN or infinity, expected finite numbers; check the checkpoint");
}

// How large, at most, the first layer's output may be so that no later layer exceeds LARGEST. If that output is at most
// m, then a layer's is at most gain * m + shift.
double largest_input(const Job& job) {
    check_finite(job.z_weight, int64_t(job.width) * job.latent, "z_weight");
    double gain = 1, shift = 0, allowed = LARGEST;
    for (int l = 0; l < job.depth; l++) {
        const Layer& layer = job.layers[l];
        const std::string index = "[" + std::to_string(l) + "]";
        check_finite(layer.weight, int64_t(layer.out) * layer.in, "weights" + index);
        check_finite(layer.bias, layer.out, "biases" + index);
        double most_gain = 0, most_shift = 0;
        for (int c = 0; c < layer.out; c++) {
            double row = 0;
            for (int i = 0; i < layer.in; i++) row += std::fabs(double(layer.weight[int64_t(c) * layer.in + i]));
            most_gain = std::max(most_gain, row);
            most_shift = std::max(most_shift, row * shift + std::fabs(double(layer.bias[c])));
        }
        gain *= most_gain;
        shift = most_shift;
        if (shift >= LARGEST)
            throw std::invalid_argument("decoder: got numbers in weights" + index + " and biases" + index +
                                        " or before so large that float32 overflows, expected those of a trained model; "
                                        "check the checkpoint");
        if (gain > 0) allowed = std::min(allowed, (LARGEST - shift) / gain);
    }
    return allowed;
}

[[noreturn]] void refuse(const char* name, double allowed, const char* advice) {
    char number[32];
    std::snprintf(number, sizeof number, "%.3g", allowed);
    throw std::invalid_argument(std::string(name) +
                                ": got NaN, infinity or numbers so large that float32 overflows in the layers of f_comb, "
                                "expected at most " + number + " of the first layer; " + advice);
}

}  // namespace

double largest_base(const Job& job, const float* offset) {
    const Maps& maps = job.maps;
    check_finite(maps.weight, int64_t(job.width) * maps.channels, "map_weight");
    double gain = 0;
    for (int c = 0; c < job.width; c++) {
        double row = 0;
        for (int s = 0; s < maps.channels; s++) row += std::fabs(double(maps.weight[c * maps.channels + s]));
        gain = std::max(gain, row);
    }
    double most = largest(offset, job.images * job.n * job.width);
    if (maps.channels) most += gain * largest(maps.values, job.images * job.n * maps.channels * maps.cells);
    const double allowed = largest_input(job);
    if (!(most <= allowed)) refuse("latents", allowed, "check z, or mu and sigma of the prior");
    return allowed - most;
}

void refuse_base(double largest) { refuse("base", largest, "check the images and the U-Net's weights"); }

}  // namespace fastpunet
