#!/usr/bin/env bash
# Everything that is to be known of a machine with a GPU, in one call: what is there, the tests with the kernels
# compiled for that GPU, the benchmarks, and, where FASTPUNET_DATA names the folder with lidc/ and camvid/, the recipes
# for a GPU, trained and scored. Results go to $OUT, or benchmarks/results/local; a training that was cut off goes on in
# the next call. Needs no installation, only the packages; without a GPU it runs the same on the CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-benchmarks/results/local}
mkdir -p "$out"
export PYTHONPATH=.:kernels PYTHONUNBUFFERED=1
failed=0

fastpunet() { python3 -m fastpunet.cli "$@"; }
train() { # RECIPE FOLDER: trains on the folder of the data, prints where the model is
    fastpunet train --config "$1" --data "$FASTPUNET_DATA/$2" --output "$out/$1" --resume
}

fastpunet info | tee "$out/info.txt"
python3 -m fastpunet_kernels.triton.aot > "$out/kernels.txt" || failed=1
python3 -m pytest -q -m "not slow" 2>&1 | tee "$out/tests.txt" || failed=1
if command -v compute-sanitizer > /dev/null; then
    compute-sanitizer --error-exitcode 1 python3 -m pytest -q tests/test_kernels_triton_decode.py -k "every_element or sums_are" \
        2>&1 | tee "$out/sanitizer.txt" || failed=1
fi
python3 -m pytest -q benchmarks --benchmark-only --benchmark-json="$out/benchmarks.json" 2>&1 | tee "$out/benchmarks.txt" || failed=1
python3 -m benchmarks.report "$out/benchmarks.json" || failed=1
if command -v ncu > /dev/null; then # one decoding of 1000 masks, counted by the hardware
    ncu --set basic --kernel-name decode_kernel --launch-count 1 python3 -m pytest -q benchmarks/bench_sampler.py \
        -k "bench_decode and bits-bf16" --benchmark-disable 2>&1 | tee "$out/counters.txt" || failed=1
fi
if [ -n "${FASTPUNET_DATA:-}" ]; then
    { train lidc-128 lidc && fastpunet evaluate "$out/lidc-128/model.safetensors" \
        --data "$FASTPUNET_DATA/lidc/lidc_test_128.npz" --output "$out/lidc-128-scores"; } || failed=1
    { train camvid-flips camvid && fastpunet evaluate "$out/camvid-flips/model.safetensors" --kind camvid --class-flips -n 100 \
        --data "$FASTPUNET_DATA/camvid/camvid_test_128x160.npz" --output "$out/camvid-flips-scores"; } || failed=1
fi
exit $failed
