"""A benchmark's JSON as the Markdown table that README and results show: python -m benchmarks.table FILE.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

BASELINE = "bench_port_loop"


def table(report: dict[str, Any]) -> str:
    """One row a benchmark: median ms per hypothesis, hypotheses per second, and the ratio to the port's loop."""
    per_hypothesis = {row["name"]: row["extra_info"]["ms_per_hypothesis"] for row in report["benchmarks"]}
    machine = report["machine_info"]
    where = machine.get("gpu", {}).get("name") or f"{machine['cpu']['brand_raw']}, {machine['threads']} threads"
    lines = [
        f"{where}, torch {machine['torch']}, {report['datetime'][:10]}",
        "",
        "| | ms per hypothesis | hypotheses/s | ratio to the port's loop |",
        "| --- | --- | --- | --- |",
    ]
    for name, ms in per_hypothesis.items():
        lines.append(f"| {name} | {ms:.3f} | {1000 / ms:,.0f} | {per_hypothesis[BASELINE] / ms:.2f} x |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
