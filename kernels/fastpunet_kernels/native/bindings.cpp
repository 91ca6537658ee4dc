// The ops for Python. Arrays must be C-contiguous and of the very dtype; the Python side sees to that, and to shapes.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "capability.h"
#include "groups.h"
#include "ops.h"

namespace py = pybind11;
using namespace fastpunet;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

void check(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(what);
}

const Kernels& kernels_at(int capability) {
    check(0 <= capability && capability <= detect_capability(), "capability: this processor has no such instructions");
    return kernels_of(capability);
}

Masks masks_of(const Array<int32_t>& words) {
    check(words.ndim() == 4, "words: expected (images, masks, classes, words)");
    return {reinterpret_cast<const uint32_t*>(words.data()), words.shape(0), words.shape(1), int(words.shape(2)),
            words.shape(3)};
}

struct JobArrays {
    Job job = {};
    std::vector<Layer> layers;

    JobArrays(const Array<float>& base, const Array<float>& z, const Array<float>& z_weight,
              const std::vector<Array<float>>& weights, const std::vector<Array<float>>& biases) {
        check(base.ndim() == 3 && z_weight.ndim() == 2 && base.shape(2) == z_weight.shape(0),
              "z_weight: expected (width, latent) for base (images, pixels, width)");
        check(z.ndim() == 3 && z.shape(0) == base.shape(0) && z.shape(2) == z_weight.shape(1) && z.shape(2) > 0,
              "z: expected (images, n, latent) for z_weight (width, latent)");
        check(!weights.empty() && weights.size() == biases.size(), "weights: expected as many as biases, at least one");
        job.base = base.data();
        job.z = z.data();
        job.z_weight = z_weight.data();
        job.images = base.shape(0);
        job.pixels = base.shape(1);
        job.n = z.shape(1);
        job.latent = int(z.shape(2));
        job.width = int(base.shape(2));
        int channels = job.width;
        for (size_t l = 0; l < weights.size(); l++) {
            check(weights[l].ndim() == 2 && weights[l].shape(1) == channels && biases[l].ndim() == 1 &&
                      biases[l].shape(0) == weights[l].shape(0),
                  "weights: expected (out, in), in being the previous layer's out, and biases (out,)");
            channels = int(weights[l].shape(0));
            layers.push_back({weights[l].data(), biases[l].data(), channels, int(weights[l].shape(1))});
        }
        job.layers = layers.data();
        job.depth = int(layers.size());
        job.classes = channels;
    }
};

// Values (images, n, channels, cells), weight (width, channels), the image's size and the grid.
typedef std::optional<std::tuple<Array<float>, Array<float>, std::vector<int64_t>, std::vector<int64_t>>> MapArrays;

void add_maps(Job& job, const MapArrays& arrays) {
    if (!arrays) return;
    const auto& [values, weight, size, grid] = *arrays;
    check(!size.empty() && size.size() <= 3 && grid.size() == size.size(), "maps: expected a size and a grid of one to three axes");
    int64_t pixels = 1, cells = 1;
    for (int axis = 0; axis < 3; axis++) {
        const int given = axis + int(size.size()) - 3;
        job.maps.size[axis] = given < 0 ? 1 : size[size_t(given)];
        job.maps.grid[axis] = given < 0 ? 1 : grid[size_t(given)];
        check(job.maps.grid[axis] >= 1 && job.maps.grid[axis] <= job.maps.size[axis], "maps: expected a grid no finer than the image");
        pixels *= job.maps.size[axis];
        cells *= job.maps.grid[axis];
    }
    check(pixels == job.pixels, "maps: expected the size of the image");
    check(weight.ndim() == 2 && weight.shape(0) == job.width && weight.shape(1) > 0, "maps: expected weight (width, channels)");
    check(values.ndim() == 4 && values.shape(0) == job.images && values.shape(1) == job.n &&
              values.shape(2) == weight.shape(1) && values.shape(3) == cells,
          "maps: expected values (images, n, channels, cells)");
    job.maps.values = values.data();
    job.maps.weight = weight.data();
    job.maps.channels = int(weight.shape(1));
    job.maps.cells = cells;
}

const Decoder& decoder_of(const Kernels& kernels, const std::string& precision) {
    check(precision == "ieee" || precision == "bf16", "precision: expected ieee or bf16");
    return precision == "bf16" && kernels.bf16 ? *kernels.bf16 : *kernels.ieee;
}

void set_output(Job& job, py::array& out, const std::string& output) {
    const int64_t rows = job.images * job.n;
    int64_t bytes = rows * job.classes * job.pixels * 4;
    if (output == "labels") job.output = Output::labels, bytes = rows * job.pixels;
    else if (output == "logits") job.output = Output::logits;
    else if (output == "probs") job.output = Output::probs;
    else if (output == "bits") job.output = Output::bits, bytes = rows * job.classes * ((job.pixels + 31) / 32) * 4;
    else throw std::invalid_argument("output: expected labels, logits, probs or bits");
    check(out.nbytes() == bytes && (out.flags() & py::array::c_style), "out: got another size than the output has");
    job.out = out.mutable_data();
}

void set_sums(Job& job, Array<double>& probability, Array<double>& entropy, Array<int64_t>& volume) {
    check(probability.size() == job.images * job.classes * job.pixels && entropy.size() == job.images * job.pixels &&
              volume.size() == job.images * job.n * job.classes,
          "probability, entropy, volume: got other sizes than the sums have");
    job.output = Output::sums;
    job.probability = probability.mutable_data();
    job.entropy = entropy.mutable_data();
    job.volume = volume.mutable_data();
}

LowRankJob low_rank_job(const Array<float>& mean, const Array<float>& factor, const Array<float>& sigma,
                        const Array<float>& e, const Array<int64_t>& ids, uint64_t seed, int64_t first, bool skips) {
    check(mean.ndim() == 3 && sigma.size() == mean.size(), "sigma: expected (images, classes, pixels) as mean has it");
    check(factor.ndim() == 4 && factor.size() == mean.size() * factor.shape(1) && factor.shape(2) == mean.shape(1),
          "factor: expected (images, rank, classes, pixels)");
    check(e.ndim() == 3 && e.shape(0) == mean.shape(0) && e.shape(2) == factor.shape(1), "e: expected (images, n, rank)");
    check(ids.size() == mean.shape(0), "ids: expected one an image");
    LowRankJob low_rank = {};
    low_rank.job.images = mean.shape(0);
    low_rank.job.classes = int(mean.shape(1));
    low_rank.job.pixels = mean.shape(2);
    low_rank.job.n = e.shape(1);
    low_rank.mean = mean.data();
    low_rank.factor = factor.data();
    low_rank.sigma = sigma.data();
    low_rank.e = e.data();
    low_rank.ids = ids.data();
    low_rank.seed = seed;
    low_rank.first = first;
    low_rank.rank = int(factor.shape(1));
    low_rank.skips = skips;
    return low_rank;
}

void draw_low_rank_to(const Array<float>& mean, const Array<float>& factor, const Array<float>& sigma,
                      const Array<float>& e, const Array<int64_t>& ids, uint64_t seed, int64_t first, py::array out,
                      const std::string& output, bool skips, int capability, int threads) {
    LowRankJob low_rank = low_rank_job(mean, factor, sigma, e, ids, seed, first, skips);
    set_output(low_rank.job, out, output);
    const LowRankKernel& kernel = *kernels_at(capability).low_rank;
    py::gil_scoped_release release;
    draw_low_rank(low_rank, kernel, threads);
}

void draw_low_rank_sums(const Array<float>& mean, const Array<float>& factor, const Array<float>& sigma,
                        const Array<float>& e, const Array<int64_t>& ids, uint64_t seed, int64_t first,
                        Array<double> probability, Array<double> entropy, Array<int64_t> volume, int capability,
                        int threads) {
    LowRankJob low_rank = low_rank_job(mean, factor, sigma, e, ids, seed, first, false);
    set_sums(low_rank.job, probability, entropy, volume);
    const LowRankKernel& kernel = *kernels_at(capability).low_rank;
    py::gil_scoped_release release;
    draw_low_rank(low_rank, kernel, threads);
}

std::vector<std::vector<int>> decode_to(const Array<float>& base, const Array<float>& z, const Array<float>& z_weight,
               const std::vector<Array<float>>& weights, const std::vector<Array<float>>& biases, py::array out,
               const std::string& output, const std::string& precision, const std::optional<std::vector<int>>& levels,
               const MapArrays& maps, int capability, int threads) {
    for (size_t i = 0; levels && i < levels->size(); i++)
        check((*levels)[i] >= 0 && (*levels)[i] <= MOST_LEVELS && (i == 0 || (*levels)[i] > (*levels)[i - 1]),
              "levels: expected a few numbers from 0 on, each larger than the one before");
    JobArrays arrays(base, z, z_weight, weights, biases);
    Job& job = arrays.job;
    add_maps(job, maps);
    job.checked = true;
    set_output(job, out, output);
    const Decoder& decoder = decoder_of(kernels_at(capability), precision);
    py::gil_scoped_release release;
    return decode(job, decoder, levels ? &*levels : nullptr, threads);
}

void decode_sums(const Array<float>& base, const Array<float>& z, const Array<float>& z_weight,
                 const std::vector<Array<float>>& weights, const std::vector<Array<float>>& biases,
                 Array<double> probability, Array<double> entropy, Array<int64_t> volume, const std::string& precision,
                 const MapArrays& maps, int capability, int threads) {
    JobArrays arrays(base, z, z_weight, weights, biases);
    Job& job = arrays.job;
    add_maps(job, maps);
    job.checked = true;
    set_sums(job, probability, entropy, volume);
    const Decoder& decoder = decoder_of(kernels_at(capability), precision);
    py::gil_scoped_release release;
    decode(job, decoder, nullptr, threads);
}

void decode_logits_to(const Array<float>& base, const Array<float>& z, const Array<float>& z_weight,
                      const std::vector<Array<float>>& weights, const std::vector<Array<float>>& biases, Array<float> out,
                      int capability, int threads) {
    JobArrays arrays(base, z, z_weight, weights, biases);
    Job& job = arrays.job;
    check(out.size() == job.images * job.n * job.classes * job.pixels, "out: got another size than the logits have");
    job.output = Output::logits;
    job.checked = false;
    job.out = out.mutable_data();
    const Decoder& decoder = *kernels_at(capability).ieee;
    py::gil_scoped_release release;
    decode(job, decoder, nullptr, threads);
}

void decode_gradients_to(const Array<float>& gradient, const Array<float>& base, const Array<float>& z,
                         const Array<float>& z_weight, const std::vector<Array<float>>& weights,
                         const std::vector<Array<float>>& biases, Array<float> base_gradient, Array<double> offset_sums,
                         Array<double> weight_sums, int capability, int threads) {
    JobArrays arrays(base, z, z_weight, weights, biases);
    const Job& job = arrays.job;
    Gradients want = {};
    for (const Layer& layer : arrays.layers) want.size += int64_t(layer.out) * (layer.in + 1);
    check(weight_sums.ndim() == 3 && weight_sums.shape(1) > 0, "weight_sums: expected (images, parts, size)");
    want.parts = weight_sums.shape(1);
    check(weight_sums.size() == job.images * want.parts * want.size &&
              offset_sums.size() == job.images * want.parts * job.n * job.width && base_gradient.size() == base.size() &&
              gradient.size() == job.images * job.n * job.classes * job.pixels,
          "gradient, base_gradient, offset_sums, weight_sums: got other sizes than the gradients have");
    want.logits = gradient.data();
    want.base = base_gradient.mutable_data();
    want.offset = offset_sums.mutable_data();
    want.weights = weight_sums.mutable_data();
    const GradientKernel& kernel = *kernels_at(capability).gradients;
    py::gil_scoped_release release;
    decode_gradients(job, want, kernel, threads);
}

void check_pairs(const Masks& a, const Masks& b) {
    check(a.images == b.images && a.classes == b.classes && a.per_plane == b.per_plane,
          "b: expected the images, classes and words of a");
}

}  // namespace

PYBIND11_MODULE(_kernels, module) {
    module.doc() = "fastpunet's kernels for the CPU; see reference.py for what they mean.";
    module.attr("CAPABILITIES") = py::cast(std::vector<std::string>(std::begin(CAPABILITIES), std::end(CAPABILITIES)));
#ifdef _OPENMP
    module.attr("OPENMP") = true;
#else
    module.attr("OPENMP") = false;
#endif
    module.def("detect_capability", &detect_capability);
    module.def("decode", &decode_to, py::arg("base").noconvert(), py::arg("z").noconvert(),
               py::arg("z_weight").noconvert(), py::arg("weights"), py::arg("biases"), py::arg("out").noconvert(), py::arg("output"), py::arg("precision"),
               py::arg("levels"), py::arg("maps"), py::arg("capability"), py::arg("threads"));
    module.def("decode_logits", &decode_logits_to, py::arg("base").noconvert(), py::arg("z").noconvert(),
               py::arg("z_weight").noconvert(), py::arg("weights"), py::arg("biases"), py::arg("out").noconvert(),
               py::arg("capability"), py::arg("threads"));
    module.def("decode_gradients", &decode_gradients_to, py::arg("gradient").noconvert(), py::arg("base").noconvert(),
               py::arg("z").noconvert(), py::arg("z_weight").noconvert(), py::arg("weights"), py::arg("biases"),
               py::arg("base_gradient").noconvert(), py::arg("offset_sums").noconvert(),
               py::arg("weight_sums").noconvert(), py::arg("capability"), py::arg("threads"));
    module.def("decode_sums", &decode_sums, py::arg("base").noconvert(), py::arg("z").noconvert(),
               py::arg("z_weight").noconvert(), py::arg("weights"), py::arg("biases"), py::arg("probability").noconvert(), py::arg("entropy").noconvert(),
               py::arg("volume").noconvert(), py::arg("precision"), py::arg("maps"), py::arg("capability"), py::arg("threads"));
    module.def("draw_low_rank", &draw_low_rank_to, py::arg("mean").noconvert(), py::arg("factor").noconvert(),
               py::arg("sigma").noconvert(), py::arg("e").noconvert(), py::arg("ids").noconvert(), py::arg("seed"),
               py::arg("first"), py::arg("out").noconvert(), py::arg("output"), py::arg("skips"), py::arg("capability"),
               py::arg("threads"));
    module.def("draw_low_rank_sums", &draw_low_rank_sums, py::arg("mean").noconvert(), py::arg("factor").noconvert(),
               py::arg("sigma").noconvert(), py::arg("e").noconvert(), py::arg("ids").noconvert(), py::arg("seed"),
               py::arg("first"), py::arg("probability").noconvert(), py::arg("entropy").noconvert(),
               py::arg("volume").noconvert(), py::arg("capability"), py::arg("threads"));
    module.def(
        "pairwise_intersection",
        [](const Array<int32_t>& a, const Array<int32_t>& b, Array<int32_t> out, int capability, int threads) {
            const Masks left = masks_of(a), right = masks_of(b);
            check_pairs(left, right);
            check(out.size() == left.images * left.count * right.count * left.classes, "out: got another size");
            const Kernels& kernels = kernels_at(capability);
            int32_t* counts = out.mutable_data();
            py::gil_scoped_release release;
            pairwise_intersection(left, right, kernels, threads, counts);
        },
        py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("out").noconvert(), py::arg("capability"),
        py::arg("threads"));
    module.def(
        "mask_iou",
        [](const Array<int32_t>& a, const Array<int32_t>& b, float empty, Array<float> out, int capability, int threads) {
            const Masks left = masks_of(a), right = masks_of(b);
            check_pairs(left, right);
            check(out.size() == left.images * left.count * right.count * left.classes, "out: got another size");
            const Kernels& kernels = kernels_at(capability);
            float* iou = out.mutable_data();
            py::gil_scoped_release release;
            mask_iou(left, right, empty, kernels, threads, iou);
        },
        py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("empty"), py::arg("out").noconvert(),
        py::arg("capability"), py::arg("threads"));
    module.def(
        "iou_of_pairs",
        [](const Array<int32_t>& words, const Array<int64_t>& first, const Array<int64_t>& second, double empty,
           Array<double> out, int capability, int threads) {
            const Masks masks = masks_of(words);
            check(first.size() == second.size() && out.size() == masks.images * first.size() * masks.classes,
                  "out: got another size than images x pairs x classes");
            for (const Array<int64_t>* places : {&first, &second})
                for (int64_t p = 0; p < places->size(); p++)
                    check(0 <= places->data()[p] && places->data()[p] < masks.count, "first, second: expected places of masks");
            const Kernels& kernels = kernels_at(capability);
            double* iou = out.mutable_data();
            py::gil_scoped_release release;
            iou_of_pairs(masks, first.data(), second.data(), first.size(), empty, kernels, threads, iou);
        },
        py::arg("words").noconvert(), py::arg("first").noconvert(), py::arg("second").noconvert(), py::arg("empty"),
        py::arg("out").noconvert(), py::arg("capability"), py::arg("threads"));
    module.def(
        "distance_sums",
        [](const Array<int32_t>& a, const Array<int32_t>& b, const Array<double>& weights_a, const Array<double>& weights_b,
           double empty, Array<double> out, int capability, int threads) {
            const Masks left = masks_of(a), right = masks_of(b);
            check_pairs(left, right);
            check(weights_a.size() == left.images * left.count && weights_b.size() == right.images * right.count &&
                      out.size() == 2 * left.images,
                  "weights: expected one for each mask; out: two for each image");
            const Kernels& kernels = kernels_at(capability);
            double* sums = out.mutable_data();
            auto asked = std::chrono::steady_clock::now();
            bool stopped = false;
            const auto interrupted = [&] {
                const auto now = std::chrono::steady_clock::now();
                if (stopped || now - asked < std::chrono::milliseconds(100)) return stopped;
                asked = now;
                py::gil_scoped_acquire acquire;
                return stopped = PyErr_CheckSignals() != 0;
            };
            {
                py::gil_scoped_release release;
                distance_sums(left, right, weights_a.data(), weights_b.data(), empty, kernels, threads, interrupted, sums);
            }
            if (PyErr_Occurred()) throw py::error_already_set();
        },
        py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("weights_a").noconvert(),
        py::arg("weights_b").noconvert(), py::arg("empty"), py::arg("out").noconvert(), py::arg("capability"),
        py::arg("threads"));
    module.def(
        "philox_normal",
        [](uint64_t seed, const Array<int64_t>& ids, int64_t first, int64_t n, int dim, Array<float> out, int threads) {
            check(n >= 0 && dim >= 0 && out.size() == ids.size() * n * dim, "out: got another size than ids x n x dim");
            float* normals = out.mutable_data();
            py::gil_scoped_release release;
            philox_normal(seed, ids.data(), ids.size(), first, n, dim, threads, normals);
        },
        py::arg("seed"), py::arg("ids").noconvert(), py::arg("first"), py::arg("n"), py::arg("dim"),
        py::arg("out").noconvert(), py::arg("threads"));
    module.def(
        "pack_labels",
        [](const Array<uint8_t>& labels, const Array<uint8_t>& wanted, Array<int32_t> out, int capability, int threads) {
            check(labels.ndim() == 2 && wanted.ndim() == 1, "labels: expected (masks, pixels); wanted: (classes,)");
            const int64_t count = labels.shape(0), pixels = labels.shape(1), words = (pixels + 31) / 32;
            check(out.size() == count * wanted.size() * words, "out: got another size than masks x classes x words");
            const Kernels& kernels = kernels_at(capability);
            uint32_t* packed = reinterpret_cast<uint32_t*>(out.mutable_data());
            py::gil_scoped_release release;
            pack_labels(labels.data(), count, pixels, wanted.data(), int(wanted.size()), kernels, threads, packed);
        },
        py::arg("labels").noconvert(), py::arg("wanted").noconvert(), py::arg("out").noconvert(), py::arg("capability"),
        py::arg("threads"));
    module.def(
        "unpack_labels",
        [](const Array<int32_t>& words, Array<uint8_t> out, int threads) {
            check(words.ndim() == 3 && out.ndim() == 2, "words: expected (masks, classes, words); out: (masks, pixels)");
            const int64_t count = words.shape(0), pixels = out.shape(1);
            check(out.shape(0) == count && words.shape(2) == (pixels + 31) / 32, "out: got another size than the words");
            uint8_t* labels = out.mutable_data();
            py::gil_scoped_release release;
            unpack_labels(reinterpret_cast<const uint32_t*>(words.data()), count, int(words.shape(1)), pixels, threads, labels);
        },
        py::arg("words").noconvert(), py::arg("out").noconvert(), py::arg("threads"));
    module.def(
        "multiply_add_rate",
        [](int capability, int threads, double seconds) {
            const Kernels& kernels = kernels_at(capability);
            py::gil_scoped_release release;
            return multiply_add_rate(kernels, threads, seconds);
        },
        py::arg("capability"), py::arg("threads"), py::arg("seconds"));
}
