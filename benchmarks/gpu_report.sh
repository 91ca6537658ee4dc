#!/usr/bin/env bash
# What is to be known of a machine with a GPU, in pieces that each end within nine minutes:
#
#     benchmarks/gpu_report.sh tests        what runs on a GPU, tested with the kernels compiled for that GPU
#     benchmarks/gpu_report.sh kernels      the time of every kernel by itself, and the hardware's counters of one
#     benchmarks/gpu_report.sh end-to-end   image in, masks and scores out, beside the peers; where the time goes
#     benchmarks/gpu_report.sh sanitizer    kernels under compute-sanitizer
#     benchmarks/gpu_report.sh train        the recipes for a GPU, trained and scored, where FASTPUNET_DATA names the
#                                           folder with lidc/ and camvid/; what was cut off goes on in the next call
#
# Several pieces may be named at once. Results go to $OUT, or benchmarks/results/local, four files a piece at most. No
# installation is needed, only the packages: those of training for `train`, else torch, triton, numpy, safetensors,
# scipy, pybind11, setuptools, pytest, hypothesis, pytest-xdist, pytest-benchmark and nvidia-ml-py.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-benchmarks/results/local}
mkdir -p "$out"
out=$(realpath "$out")
export PYTHONPATH=.:kernels${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
failed=0

run() { # FILE SECONDS COMMAND...: interrupted after so long, so that it still says what it knows, and then killed
    local file=$out/$1 start=$SECONDS
    shift
    echo "+ ${*:2}" | tee -a "$file"
    timeout --signal=INT --kill-after=15 "$@" 2>&1 | tee -a "$file" || failed=1
    echo "($((SECONDS - start)) s)" | tee -a "$file"
}

build() { # FILE: the CPU kernels, with which those of the GPU are compared
    run "$1" 120 python3 setup.py -q build_ext --inplace
    run "$1" 60 python3 -c "from fastpunet.reports.info import info; print(info())"
}

tests() {
    local cores workers
    cores=$(nproc)
    workers=$((cores < 12 ? cores : 12))
    export OMP_NUM_THREADS=$((cores / workers))
    build tests.txt
    run tests.txt 170 python3 -m pytest -q -n $workers -m "not slow" --dist worksteal -p no:benchmark --durations=15 \
        tests/test_kernels_{triton_*,gradients,low_rank}.py tests/test_graphs*.py tests/test_replays.py tests/test_streams.py tests/test_metrics_iou.py \
        tests/test_{sampling_errors,sampling_precision,acceleration,seam,masks}.py \
        tests/test_kernels_{precision,reference}.py tests/test_metrics_{energy,errors}.py
}

kernels() {
    run kernels.txt 120 python3 -m benchmarks.gpu_kernels "$out"
    run kernels.txt 120 python3 -m benchmarks.gpu_pruning
    if command -v ncu > /dev/null; then
        run kernels.txt 120 ncu --clock-control none --set basic --kernel-name regex:decode --launch-skip 1 \
            --launch-count 1 python3 -c "if True:
                import torch, fastpunet
                sampler = fastpunet.Sampler(fastpunet.ProbabilisticUNet().cuda(), precision='bf16')
                encoding = sampler.encode(torch.rand(1, 1, 128, 128, device='cuda'))
                for _ in range(2):
                    sampler.draw(encoding, 1000, seed=0, output='bits')"
    fi
}

end-to-end() {
    run end-to-end.txt 60 python3 -m benchmarks.gpu_end_to_end "$out"
    run end-to-end.txt 90 python3 -m benchmarks.gpu_graphs
}

sanitizer() { # memory that PyTorch caches would hide what is read or written beside a tensor
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 run sanitizer.txt 480 compute-sanitizer --error-exitcode 1 \
        python3 -m pytest -q tests/test_kernels_triton_decode.py -k "every_element or sums_are"
}

train() {
    _train lidc-128 lidc lidc_test_128.npz
    _train camvid-flips camvid camvid_test_128x160.npz --kind camvid --class-flips -n 100
}

_train() { # RECIPE FOLDER TESTED OPTION...: the run and its scores are one archive, from which the next call goes on
    local recipe=$1 folder=$FASTPUNET_DATA/$2 tested=$3 work
    shift 3
    work=$(mktemp -d)
    [ ! -e "$out/$recipe.tar" ] || tar -xf "$out/$recipe.tar" -C "$work"
    run "$recipe.txt" 200 python3 -m fastpunet.cli train --config "$recipe" --data "$folder" --output "$work" --resume
    [ ! -e "$work/model.safetensors" ] || run "$recipe.txt" 50 python3 -m fastpunet.cli evaluate \
        "$work/model.safetensors" --data "$folder/$tested" --output "$work/scores" "$@"
    tar -cf "$out/$recipe.tar" -C "$work" .
    rm -r "$work"
}

[ $# -gt 0 ] || set -- help
for piece in "$@"; do
    case $piece in
        tests | kernels | end-to-end | sanitizer)
            rm -f "$out/$piece.txt"
            $piece
            ;;
        train)
            [ -n "${FASTPUNET_DATA:-}" ] || { echo "FASTPUNET_DATA: not set, expected the folder of the data" >&2; exit 2; }
            train
            ;;
        *)
            echo "piece: got $piece, expected some of tests, kernels, end-to-end, sanitizer, train" >&2
            exit 2
            ;;
    esac
done
exit $failed
