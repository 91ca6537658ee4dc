#!/usr/bin/env bash
# Everything that is to be known of a machine with a GPU, in one call: what is there, the tests with the kernels
# compiled for that GPU, the benchmarks. Results go to $OUT, or benchmarks/results/local. Needs no installation,
# only the packages; without a GPU it runs the same on the CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-benchmarks/results/local}
mkdir -p "$out"
export PYTHONPATH=.:kernels PYTHONUNBUFFERED=1

python3 -m fastpunet.cli info | tee "$out/info.txt"
failed=0
python3 -m pytest -q -m "not slow" 2>&1 | tee "$out/tests.txt" || failed=1
python3 -m pytest -q benchmarks --benchmark-only --benchmark-json="$out/benchmarks.json" 2>&1 | tee "$out/benchmarks.txt" || failed=1
python3 -m benchmarks.report "$out/benchmarks.json" || failed=1
exit $failed
