"""What the report of a machine with a GPU runs, in which order, and that one failure does not stop the rest."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_report.sh"


def run(folder: Path, data: str, fails: str = "nothing") -> tuple[int, list[str]]:
    """The script with a python3 that writes its arguments down, and fails where one of them is `fails`."""
    stub, calls = folder / "python3", folder / "calls"
    stub.write_text(f'#!/usr/bin/env bash\necho "$*" >> {calls}\n[[ " $* " != *" {fails} "* ]]\n')
    stub.chmod(0o755)
    for tool in ("compute-sanitizer", "ncu"):  # run the command behind their own options
        (folder / tool).write_text('#!/usr/bin/env bash\nwhile [ "$1" != python3 ]; do shift; done\nexec "$@"\n')
        (folder / tool).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "OUT": str(folder / "out")}
    environment.pop("FASTPUNET_DATA", None)
    if data:
        environment["FASTPUNET_DATA"] = data
    status = subprocess.run(["bash", str(SCRIPT)], env=environment, capture_output=True, check=False).returncode
    return status, calls.read_text().splitlines()


def test_everything_runs_in_order(tmp_path):
    status, calls = run(tmp_path, "/data")
    assert status == 0
    out = tmp_path / "out"
    starts = [
        "-m fastpunet.cli info",
        "-m fastpunet_kernels.triton.aot",
        "-m pytest -q -m not slow",
        "-m pytest -q tests/test_kernels_triton_decode.py",
        f"-m pytest -q benchmarks --benchmark-only --benchmark-json={out}/benchmarks.json",
        f"-m benchmarks.report {out}/benchmarks.json",
        "-m pytest -q benchmarks/bench_sampler.py",
        f"-m fastpunet.cli train --config lidc-128 --data /data/lidc --output {out}/lidc-128 --resume",
        f"-m fastpunet.cli evaluate {out}/lidc-128/model.safetensors --data /data/lidc/lidc_test_128.npz",
        f"-m fastpunet.cli train --config camvid-flips --data /data/camvid --output {out}/camvid-flips --resume",
        f"-m fastpunet.cli evaluate {out}/camvid-flips/model.safetensors --kind camvid --class-flips",
    ]
    assert len(calls) == len(starts)
    for call, start in zip(calls, starts, strict=True):
        assert call.startswith(start)


def test_without_data_nothing_is_trained(tmp_path):
    status, calls = run(tmp_path, "")
    assert status == 0
    assert len(calls) == 7


@pytest.mark.parametrize(
    ("fails", "calls_made"), [("not", 11), ("benchmarks", 11), ("lidc-128", 10), ("camvid-flips", 10)]
)
def test_a_failure_is_told_and_the_rest_goes_on(tmp_path, fails, calls_made):
    """A training that fails is not scored; everything else runs."""
    status, calls = run(tmp_path, "/data", fails)
    assert status == 1
    assert len(calls) == calls_made
