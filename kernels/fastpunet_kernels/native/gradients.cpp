#include <utility>
#include <vector>

#include "offsets.h"
#include "ops.h"
#include "parallel.h"

namespace fastpunet {

void decode_gradients(Job job, Gradients want, const GradientKernel& kernel, int threads) {
    const std::vector<float> offset = offsets(job, threads);
    job.offset = offset.data();
    std::vector<std::vector<float>> memory;
    std::vector<Layer> transposes;
    double multiply_adds = 0;
    for (int l = 0; l < job.depth; l++) {
        const Layer& layer = job.layers[l];
        std::vector<float> weight(size_t(layer.in) * size_t(layer.out + 1));  // and biases of zero
        for (int c = 0; c < layer.out; c++)
            for (int i = 0; i < layer.in; i++) weight[size_t(i) * layer.out + c] = layer.weight[int64_t(c) * layer.in + i];
        memory.push_back(std::move(weight));
        const float* start = memory.back().data();
        transposes.push_back({start, start + size_t(layer.in) * layer.out, layer.in, layer.out});
        multiply_adds += double(layer.in) * layer.out;
    }
    want.transposes = transposes.data();
    threads = worthwhile(threads, double(job.images * job.n * job.pixels) * multiply_adds * 3 / 20);

    const auto packed = zeroed(kernel.packed_bytes(job));
    kernel.pack(job, want, packed.get());
    const size_t each = (kernel.scratch_bytes(job) + 4096) / 64 * 64;  // threads do not share a page
    const auto scratch = zeroed(each * size_t(threads));
    const int64_t blocks = (job.pixels + kernel.block - 1) / kernel.block;
    const auto begin = [&](int64_t part) { return blocks * part / want.parts * kernel.block; };
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < job.images * want.parts; i++) {
        const int64_t part = i % want.parts, end = begin(part + 1);
        kernel.run(job, want, packed.get(), scratch.get() + each * size_t(thread_number()), i / want.parts, part, begin(part),
                   end < job.pixels ? end : job.pixels);
    }
}

}  // namespace fastpunet
