"""coverage_floors.py REPORT: fail where tests run fewer of a package's lines than pyproject.toml asks for.

REPORT is what `coverage json` writes. Every folder of fastpunet/ needs a floor in the table [tool.fastpunet.coverage].
"""

import json
import sys
from collections import Counter
from pathlib import Path, PurePath

import tomllib

floors = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["fastpunet"]["coverage"]
lines: Counter[str] = Counter()
run: Counter[str] = Counter()
for path, file in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["files"].items():
    package = "/".join(PurePath(path).parent.parts[:2])
    lines[package] += file["summary"]["num_statements"]
    run[package] += file["summary"]["covered_lines"]

failed = False
for package in sorted(lines.keys() | floors):
    percent = 100 * run[package] / (lines[package] or 1)
    low = percent < floors.get(package, 101)
    failed |= low
    print(f"{percent:6.1f} % of {package}, floor {floors.get(package, 'missing in pyproject.toml')}{'  TOO LOW' * low}")
sys.exit(failed)
