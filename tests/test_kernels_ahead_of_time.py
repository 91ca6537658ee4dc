"""The Triton kernels compiled for real GPUs without having one: no spills, and products on the matrix units."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton")

SCRIPT = "import json; from fastpunet_kernels.triton import aot; print(json.dumps(aot.compile_ahead({arch})))"
MATRIX_INSTRUCTIONS = {80: "mma", 90: "wgmma", 100: "tcgen05"}
FEWEST_PIXELS = 64  # wgmma and tcgen05 take no fewer rows; the widest decoders have room for 32 and use mma


def compile_ahead(arch: int, cache: Path) -> list[dict[str, Any]]:
    """`aot.compile_ahead` in a Python that compiles: pytest's own may have been told to interpret the kernels."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", SCRIPT.format(arch=arch)]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    rows: list[dict[str, Any]] = json.loads(finished.stdout)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("arch", MATRIX_INSTRUCTIONS)
def test_every_configuration_compiles_without_spilling(arch: int, tmp_path: Path) -> None:
    rows = compile_ahead(arch, tmp_path)
    assert {row["name"].split()[0] for row in rows} == {"decode", "philox_normal", "intersection"}
    for row in rows:
        assert row["spills"] == 0, row
        assert 0 < row["registers"] <= 255, row
        if row["precision"] in ("bf16", "tf32"):
            assert row["instruction"] == (MATRIX_INSTRUCTIONS[arch] if row["pixels"] >= FEWEST_PIXELS else "mma"), row
        else:
            assert row["instruction"] == "none", row
