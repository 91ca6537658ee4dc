#!/usr/bin/env bash
# The tests of the native kernels under the address and undefined-behaviour sanitizers, on a build of their own in a
# temporary folder: tests/sanitize.sh [PYTHON]. Needs g++ and the tests' packages; takes about three minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "$(command -v "${1:-.venv/bin/python}")")
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
git ls-files -coz --exclude-standard setup.py pyproject.toml README.md kernels fastpunet tests |
    xargs -0 cp --parents -t "$build" # without what Python and tests write meanwhile

cd "$build"
sed -i 's/"-O3"/"-O1"/' setup.py # compiles in a third of the time, and leaves no less for the sanitizers to see
flags="-fsanitize=address,undefined -fno-sanitize-recover=all -g1"
CXXFLAGS=$flags LDFLAGS=$flags "$python" setup.py -q build_ext --inplace
nm -D kernels/fastpunet_kernels/native/*.so | grep __asan_report > nm.txt  # or it would be another build that is tested
# Python itself is not instrumented, so the sanitizers are loaded first; what it never frees is not ours to report. Tests of
# Triton run in its interpreter, which has nothing to do with what was built here.
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
    "$python" -m pytest -q -s -p no:cacheprovider -k "not triton" tests/test_kernels_native.py tests/test_kernels_sets.py \
    tests/test_kernels_gradients.py tests/test_kernels_pruning_native.py tests/test_kernels_maps.py tests/test_kernels_low_rank.py
