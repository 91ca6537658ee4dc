"""Fuzzes all targets, or some, for some seconds each: `python tests/fuzzing/run.py --seconds 600 [--target NAME ...]`.

Needs atheris (`pip install -e '.[fuzz]'`). Each target runs in a process of its own, which may take ten seconds and a
gigabyte for one input. What it finds is written to `.fuzzing/NAME/findings/`: an input, and what became of it. Inputs
that reached new branches stay in `.fuzzing/NAME/corpus/`, where the next run goes on. The exit status is 1 if there
are findings.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fuzzing.readers import NAMES  # noqa: E402

_GRACE_S = 600  # for a process on a busy machine that imports and instruments all modules, and for the last input


class Outcome(NamedTuple):
    """What came of fuzzing a target."""

    executions: int
    branches: int
    findings: tuple[str, ...]


def fuzz(name: str, folder: Path, seconds: int) -> Outcome:
    """Fuzz a target, and go on after an input that killed the process."""
    executions, branches, failed = 0, 0, 0
    end = time.monotonic() + seconds
    while (left := round(end - time.monotonic())) > 0 and failed < 20:
        text, status = _process(name, folder, left)
        steps = [int(number) for number in re.findall(r"^#(\d+)\t", text, re.MULTILINE)]
        total = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text)
        executions += int(total[-1]) if total else max(steps, default=0)
        branches = max(branches, *map(int, re.findall(r" cov: (\d+)", text)), 0)
        if status == 0:
            break
        failed += 1
        if not steps:
            raise RuntimeError(f"{name} could not be fuzzed:\n{text[-3000:]}")
    found = sorted((folder / "findings").glob("*.txt")) + sorted((folder / "findings").glob("killed-*"))
    return Outcome(executions, branches, tuple(map(_title, found)))


def _process(name: str, folder: Path, seconds: int) -> tuple[str, int]:
    """What a worker printed, and its exit status."""
    paths = (ROOT / "tests", ROOT, ROOT / "kernels")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fuzzing.worker", name, str(folder), str(seconds)]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + _GRACE_S
    )
    text = done.stdout.decode(errors="replace")
    (folder / "last.log").write_text(text, encoding="utf-8")
    return text, done.returncode


def _title(finding: Path) -> str:
    """What kind of finding a file is, on one line."""
    if finding.suffix != ".txt":
        return f"{finding.name} ended the process (too slow, too much memory, or a crash)"
    return f"{finding.name}: {finding.read_text(encoding='utf-8').splitlines()[0]}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--target", nargs="+", choices=NAMES, metavar="NAME", help="without it, all")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzzing", help="of corpora and findings")
    options = parser.parse_args(arguments)
    outcomes = {}
    for name in options.target or NAMES:
        (options.folder / name).mkdir(parents=True, exist_ok=True)
        outcome = outcomes[name] = fuzz(name, options.folder / name, options.seconds)
        print(f"{name:20}{outcome.executions:>10} executions{outcome.branches:>7} branches", flush=True)
        for finding in outcome.findings:
            print(f"    {finding}", flush=True)
    print(f"{'all':20}{sum(outcome.executions for outcome in outcomes.values()):>10} executions")
    return 1 if any(outcome.findings for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
