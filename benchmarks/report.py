"""What was measured, for people: python -m benchmarks.report FILE.json [--readme]

Writes the whole table and the scaling plots beside the JSON (table.md, scaling.png). --readme also writes the tables of
the README, speed and quality, and that of docs/results/speed.md.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks import headline
from benchmarks.formats import limits, machine, ratio, time


def table(report: dict[str, Any]) -> str:
    """Every benchmark, group by group: ours, then its peers with how many times as long they take.

    The peak is that of the benchmark's precision: float32 multiply-adds, or PyTorch's bf16 or TF32 matmul.
    """
    lines = [f"{machine(report)}; {limits(report)}"]
    for group, rows in groupby(report["benchmarks"], key=lambda row: row["group"]):
        lines += ["", f"### {group}", "", "| | time | each | times ours | GFLOP/s | of the peak |"]
        lines.append("| --- | --- | --- | --- | --- | --- |")
        for row in rows:
            facts = row["extra_info"]
            if "seconds" not in facts:
                continue
            rate, peak = facts.get("gflops"), facts.get("peak_gflops")
            share = f"{rate / peak:.0%}" if rate and peak else ""
            each = f"{time(facts['seconds'] / facts['units'])} per {facts['unit']}"
            speed = f"{rate:.0f}" if rate else ""
            memory = f"; peak {facts['peak_mib']:.0f} MiB" if "peak_mib" in facts else ""
            lines.append(f"| **{row['name']}** | {time(facts['seconds'])}{memory} | {each} | 1 | {speed} | {share} |")
            for name, seconds in facts.get("peers", {}).items():
                each = f"{time(seconds / facts['units'])} per {facts['unit']}"
                lines.append(f"| {name} | {time(seconds)} | {each} | {ratio(seconds / facts['seconds'])} | | |")
    return "\n".join(lines)


def plots(report: dict[str, Any], path: Path) -> None:
    """Cost against hypotheses, pixels, classes, and of summaries, both axes logarithmic, beside proportional growth."""
    from matplotlib import pyplot as plt

    axes_of: dict[str, list[dict[str, Any]]] = {}
    for row in report["benchmarks"]:
        if "axis" in row["extra_info"]:
            axes_of.setdefault(row["extra_info"]["axis"], []).append(row["extra_info"])
    figure, panels = plt.subplots(1, len(axes_of), figsize=(3.2 * len(axes_of), 3), layout="constrained", squeeze=False)
    for panel, (axis, points) in zip(panels[0], axes_of.items(), strict=True):
        values, times = [p["value"] for p in points], [1000 * p["seconds"] for p in points]
        panel.loglog(values, times, "o-", color="#0072b2", label="measured")
        proportional = [times[-1] * v / values[-1] for v in values]
        panel.loglog(values, proportional, "--", color="#999999", label="proportional")
        panel.set_xlabel({"summary": "hypotheses summarised"}.get(axis, axis))
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("ms")
    panels[0][0].legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(path: Path, readme: bool) -> None:
    report = json.loads(path.read_text(encoding="utf-8"))
    path.with_name("table.md").write_text(table(report) + "\n", encoding="utf-8")
    plots(report, path.with_name("scaling.png"))
    if readme:
        headline.put(headline.README, "measured", headline.speed(path))
        headline.put(headline.README, "quality", headline.quality())
        headline.put(headline.SPEED, "measured", headline.all_speed(path, headline.SPEED))


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--readme" in sys.argv[2:])
