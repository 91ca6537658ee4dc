"""The product of masks, compiled for an H100 without having one, issues few instructions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

MOST = 100  # of each of 8 warps, for 128 x 128 pairs and 128 pixels


def test_a_step_of_the_product_of_masks_takes_few_instructions(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-m", "helpers.sass"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert 0 < int(finished.stdout) <= MOST
