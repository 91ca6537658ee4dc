"""The Triton kernels compiled for real GPUs without having one: no spills, and products on the matrix units."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton")

SCRIPT = "import json; from fastpunet_kernels.triton import aot; print(json.dumps(aot.compile_ahead({target!r})))"
MATRIX_INSTRUCTIONS = {"sm_80": "mma", "sm_90": "wgmma", "sm_100": "tcgen05", "gfx942": "mfma"}
FEWEST_PIXELS, FEWEST_THREADS = 64, 128  # that wgmma and tcgen05 take; programs of fewer use mma
INT8_INSTRUCTIONS = MATRIX_INSTRUCTIONS | {"sm_100": "mma"}  # Triton has no int8 products for tcgen05

# Most registers a thread, and bytes of shared memory, of the kernel that the project is measured by, under Triton 3.6
# and 3.7: with 128 registers four programs of 128 threads fit a multiprocessor, with 168 three, with 255 two.
WORKLOAD_L = "decode 32-32-32-1 bf16"

# Most slots (see slots.py) of 128 pixels of a hypothesis of that network, whose masks are packed, in any version.
SLOTS = {
    "sm_80": {"bf16": 205, "tf32": 590, "3xtf32": 1080},
    "sm_90": {"bf16": 170, "tf32": 270, "3xtf32": 600},
    "sm_100": {"bf16": 205, "tf32": 400, "3xtf32": 800},
    "gfx942": {"bf16": 480, "tf32": 600, "ieee": 415},
}
# The same of outputs that need every logit, or every class.
OTHER_SLOTS = {
    "decode 32-32-32-1 bf16 sums": {"sm_80": 260, "sm_90": 225, "sm_100": 255, "gfx942": 495},
    "decode 32-32-32-24 tf32 sums": {"sm_80": 1270, "sm_90": 900, "sm_100": 1000, "gfx942": 1310},
    "decode 32-32-32-24 tf32 probs": {"sm_80": 1020, "sm_90": 675, "sm_100": 810, "gfx942": 1210},
    "mapped 32-32-32-1 bf16 bits": {"sm_80": 400, "sm_90": 350, "sm_100": 400, "gfx942": 645},
    "decode 32-32-32-24 bf16 labels": {"sm_80": 385, "sm_90": 370, "sm_100": 365, "gfx942": 640},
}
CEILINGS = {"sm_80": (168, 8192), "sm_90": (128, 18432), "sm_100": (168, 8192), "gfx942": (128, 16384)}
MOST_REGISTERS = {"gfx942": 512}
MOST_SHARED = 65536  # two programs with room to spare, but for the weights of wide layers
PRODUCTS_SHARED = 98304  # of masks on sm_90, where two of these programs fit a multiprocessor
FEW_SPILLS = 128  # bytes of loads and stores, outside the loop over hypotheses: worth a fourth program
WIDE = "decode 128-"
MOST_WEIGHTS = 102400
SPILLING = {"sm_80": (WIDE,), "gfx942": ("gradients",)}  # known: slower there than they might be


def compile_ahead(target: str, cache: Path) -> list[dict[str, Any]]:
    """`aot.compile_ahead` in a Python that compiles: pytest's own may have been told to interpret the kernels."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", SCRIPT.format(target=target)]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    rows: list[dict[str, Any]] = json.loads(finished.stdout)
    return rows


def expected_instruction(row: dict[str, Any], target: str) -> str:
    if row["name"] == "intersection multiplied":
        return INT8_INSTRUCTIONS[target]
    in_float32 = row["precision"] == "ieee" or row["name"].startswith(("offsets", "gradients"))
    if in_float32 and target == "gfx942":
        return "mfma"
    if in_float32 or row["precision"] is None:
        return "none"
    enough = row["pixels"] >= FEWEST_PIXELS and row["threads"] >= FEWEST_THREADS
    return MATRIX_INSTRUCTIONS[target] if enough or target == "gfx942" else "mma"


@pytest.mark.slow
@pytest.mark.parametrize("target", MATRIX_INSTRUCTIONS)
def test_every_configuration_compiles_without_spilling(target: str, tmp_path: Path) -> None:
    rows = compile_ahead(target, tmp_path)
    assert {row["name"].split()[0] for row in rows} == {
        "bounds",
        "decode",
        "mapped",
        "open",
        "gradients",
        "low_rank",
        "offsets",
        "philox_normal",
        "intersection",
    }
    for row in rows:
        assert row["instruction"] == expected_instruction(row, target), row
        if not row["name"].startswith(SPILLING.get(target, ())):
            assert row["spills"] <= (FEW_SPILLS if target == "sm_90" else 0), row
            assert row["cost"] is None or row["cost"]["spills"] == 0, row
        assert 0 < row["registers"] <= MOST_REGISTERS.get(target, 255), row
        multiplied = target == "sm_90" and row["name"] == "intersection multiplied"
        weights = MOST_WEIGHTS if row["name"].startswith(WIDE) else MOST_SHARED
        assert row["shared"] <= (PRODUCTS_SHARED if multiplied else weights), row
        if row["name"].startswith("decode 32-32-32-1") and row["name"].endswith("bits"):
            assert 0 < row["cost"]["slots"] <= SLOTS[target][row["precision"]], row
            assert row["cost"]["exchanges"] == 0 or row["precision"] == "ieee", row  # activations stay in registers
        if row["name"].startswith("mapped") and target != "gfx942":
            assert row["cost"]["exchanges"] == 0, row
        if row["name"] in OTHER_SLOTS:
            assert 0 < row["cost"]["slots"] <= OTHER_SLOTS[row["name"]][target], row
        if row["name"].startswith(WORKLOAD_L) and "sums" not in row["name"]:
            registers, shared = CEILINGS[target]
            assert row["registers"] <= registers, row
            assert row["shared"] <= shared, row
