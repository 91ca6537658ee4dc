"""Kernels are compiled for what they compute, not for the seeds, sizes and layouts that they meet, and seldom in tests.

On a machine with a GPU every variant takes about three seconds to compile.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

HERE = Path(__file__).parent
MOST = 80  # variants of the whole test suite
# The tests that launch kernels. Of those marked gpu, this one draws from every model in every precision and output.
FILES = [*sorted(HERE.glob("test_kernels_triton_*.py")), "test_kernels_gradients.py", "test_kernels_low_rank.py"]
GRAPHS = "test_graphs_gpu.py::test_real_graphs"
# What cannot be told without a GPU: the one kernel that tests define themselves. The others need what is told.
UNTOLD = {
    "test_kernels_triton_noise.py::test_philox_words_are_the_known_answers": 1,
    "test_kernels_triton_tiling.py::test_a_sampler_tunes_decoding": 0,  # it measures times
    "test_kernels_triton_decode.py::test_outputs_beyond_two_to_the_31_elements": 0,  # too large for a CPU
    "test_kernels_triton_pruning.py::test_bounds_prove_labels_and_the_rest_is_listed": 0,
    "test_kernels_triton_pruning.py::test_a_margin_covers_products_that_are_rounded_in_another_way": 0,  # interpreted
}


def run(*command: str) -> str:
    """What Python prints in a process that sees no GPU, and in which Triton would compile."""
    environment = os.environ | {"TRITON_INTERPRET": "0", "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), *sys.path]))}
    finished = subprocess.run(
        [sys.executable, "-m", *command], cwd=HERE, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_seeds_sizes_and_layouts_share_a_variant() -> None:
    assert json.loads(run("helpers.launches")) == {"decode_kernel": 1, "offsets_kernel": 1}


def test_the_test_suite_compiles_few_variants() -> None:
    untold = [f"--deselect=tests/{test}" for test in UNTOLD]
    options = ["-q", "-p", "helpers.compiled_variants", "-p", "no:cacheprovider", "-k", "triton or graphs", *untold]
    told = run("pytest", *options, *map(str, FILES), GRAPHS)
    variants = int(re.findall(r"^(\d+) variants of", told, re.MULTILINE)[0])
    assert 40 < variants + sum(UNTOLD.values()) <= MOST, told
