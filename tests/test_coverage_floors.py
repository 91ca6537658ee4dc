""".ci/coverage_floors.py: a package below its floor, or without one, fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "coverage_floors.py"


@pytest.mark.parametrize(
    ("covered", "floors", "status", "said"),
    [
        (8, '"fastpunet/metrics" = 80', 0, "  80.0 % of fastpunet/metrics, floor 80\n"),
        (7, '"fastpunet/metrics" = 80', 1, "  70.0 % of fastpunet/metrics, floor 80  TOO LOW\n"),
        (8, "", 1, "  80.0 % of fastpunet/metrics, floor missing in pyproject.toml  TOO LOW\n"),
        (8, '"fastpunet/metrics" = 80\n"fastpunet/gone" = 5', 1, "   0.0 % of fastpunet/gone, floor 5  TOO LOW\n"),
    ],
)
def test_packages_keep_to_their_floors(covered, floors, status, said, tmp_path):
    files = {
        "fastpunet/metrics/a.py": {"summary": {"num_statements": 6, "covered_lines": covered - 3}},
        "fastpunet/metrics/deep/b.py": {"summary": {"num_statements": 4, "covered_lines": 3}},
    }
    (tmp_path / "coverage.json").write_text(json.dumps({"files": files}))
    (tmp_path / "pyproject.toml").write_text(f"[tool.fastpunet.coverage]\n{floors}\n")
    done = subprocess.run([sys.executable, SCRIPT, "coverage.json"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, said in done.stdout) == (status, True), done.stdout + done.stderr
