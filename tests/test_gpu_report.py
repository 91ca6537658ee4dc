"""What each piece of the report of a GPU machine runs, how long it may take, and that a failure stops nothing."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu_report.sh"
TRAIN = "-m fastpunet.cli train --config"


def run(folder: Path, *pieces: str, data: str = "", fails: str = "nothing") -> tuple[int, list[str], list[int]]:
    """The exit status, the calls of a python3 that writes them down and fails at `fails`, and the limits in seconds."""
    calls, limits = folder / "calls", folder / "limits"
    stubs = {
        "python3": f'echo "$*" >> {calls}\n[[ " $* " != *" {fails} "* ]]',
        "compute-sanitizer": 'while [ "$1" != python3 ]; do shift; done\nexec "$@"',
        "ncu": 'while [ "$1" != python3 ]; do shift; done\nexec "$@"',
        "timeout": f'while [[ "$1" == --* ]]; do shift; done\necho "$1" >> {limits}\nshift\nexec "$@"',
        "nproc": "echo 16",
    }
    for name, body in stubs.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "OUT": str(folder / "out")}
    environment |= {"FASTPUNET_DATA": data}
    status = subprocess.run(
        ["bash", str(SCRIPT), *pieces], env=environment, capture_output=True, check=False
    ).returncode
    times = [int(line) for line in limits.read_text().split()] if limits.exists() else []
    return status, calls.read_text().splitlines() if calls.exists() else [], times


BUILD = ["setup.py -q build_ext --inplace", "-c from fastpunet.reports.info import info; print(info())"]
STARTS = {
    "tests": [*BUILD, "-m pytest -q -n 12 -m not slow"],
    "kernels": ["-m benchmarks.gpu_kernels", "-m benchmarks.gpu_pruning", "-c if True:"],
    "end-to-end": ["-m benchmarks.gpu_end_to_end", "-m benchmarks.gpu_graphs"],
    "sanitizer": ["-m pytest -q tests/test_kernels_triton_decode.py"],
    "train": [f"{TRAIN} lidc-128 --data /data/lidc", f"{TRAIN} camvid-flips --data /data/camvid"],
}


@pytest.mark.parametrize("piece", STARTS)
def test_a_piece_runs_in_order_and_within_nine_minutes(piece, tmp_path):
    status, calls, limits = run(tmp_path, piece, data="/data")
    calls = [call for call in calls if not call.startswith(" ")]  # the rest of a call of several lines
    assert status == 0
    assert len(calls) == len(STARTS[piece])
    for call, start in zip(calls, STARTS[piece], strict=True):
        assert call.startswith(start)
    assert len(limits) == len(calls)
    assert sum(limits) < 540


def test_kernels_are_tested_first(tmp_path):
    _, calls, _ = run(tmp_path, "tests")
    files = [word for word in calls[2].split() if word.endswith(".py")]
    assert all("test_kernels_triton" in file for file in files[:4])
    assert "tests/test_graphs_gpu.py" in files


def test_several_pieces_in_one_call(tmp_path):
    status, calls, _ = run(tmp_path, "sanitizer", "tests")
    assert status == 0
    assert len(calls) == 4
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"sanitizer.txt", "tests.txt"}


@pytest.mark.parametrize("pieces", [(), ("everything",)])
def test_an_unknown_piece_is_refused(pieces, tmp_path):
    status, calls, _ = run(tmp_path, *pieces)
    assert status == 2
    assert not calls


def test_nothing_is_trained_without_data(tmp_path):
    status, calls, _ = run(tmp_path, "train")
    assert status == 2
    assert not calls


@pytest.mark.parametrize("fails", ["setup.py", "-n", "lidc-128"])
def test_a_failure_is_told_and_the_rest_goes_on(fails, tmp_path):
    status, calls, _ = run(tmp_path, "tests", "train", data="/data", fails=fails)
    assert status == 1
    assert len(calls) == 5


def test_what_is_named_exists():
    script = SCRIPT.read_text()
    patterns = " ".join(re.findall(r"tests/test_[^ \n]*", script))
    expanded = subprocess.run(["bash", "-c", f"echo {patterns}"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = expanded.stdout.split()
    assert len(files) > 10
    assert [file for file in files if not (ROOT / file).exists()] == []
