"""What was measured, for people: python -m benchmarks.report FILE.json [--readme]

Writes the whole table and the scaling plots beside the JSON (table.md, scaling.png); --readme puts the headline table
into README as well.
"""

from __future__ import annotations

import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
_MARKED = re.compile(r"(<!-- measured -->\n).*?(<!-- /measured -->)", re.DOTALL)

# What the README shows of each: name of the benchmark, what the reader calls it, the peers shown.
_HEADLINE = {
    "bench_end_to_end[1000-ieee]": ("image in, 1000 masks out, float32", "port's loop", "PyTorch, split and batched"),
    "bench_end_to_end[1000-bf16]": ("the same in bf16", "port's loop", "PyTorch, split and batched"),
    "bench_end_to_end[16-ieee]": ("image in, 16 masks out, float32", "port's loop", "PyTorch, split and batched"),
    "bench_decode[bits-ieee]": ("decode 1000 masks, float32", "port's loop", "PyTorch, split and batched"),
    "bench_decode[bits-bf16]": ("decode 1000 masks, bf16", "port's loop", "PyTorch, the same in bf16"),
    "bench_decode_classes[ieee]": (
        "decode 16 label maps of 24 classes, 256 x 512",
        "port's loop",
        "PyTorch, split and batched",
    ),
    "bench_pairwise[discs]": ("IoU of 1000 x 1000 masks", "pycocotools", "float32 matmul"),
    "bench_binary": ("energy distance, 1000 masks, 4 graders", "NumPy loop", None),
    "bench_street[labels]": (
        "energy distance, 24 classes, 256 x 512, 16 maps, 32 modes",
        "confusion matrix a pair",
        None,
    ),
}


def where(report: dict[str, Any]) -> str:
    """The machine in a line, with what it can do at most."""
    machine = report["machine_info"]
    name = machine.get("gpu", {}).get("name") or f"{machine['cpu']['brand_raw']}, {machine['threads']} threads"
    most = machine["roofline"]
    limits = [f"{most['gflops']:.0f} GFLOP/s of float32 multiply-adds"] if "gflops" in most else []
    limits += [f"{most['gflops_tf32']:.0f} in TF32"] if "gflops_tf32" in most else []
    limits += [f"{most['gflops_bf16']:.0f} in PyTorch's bf16 matmul", f"{most['gigabytes']:.0f} GB/s copied"]
    native = f", native kernels: {machine['native']}"
    gpu = "" if "gpu" in machine else " No GPU was at hand, so none was measured."
    return f"{name}, torch {machine['torch']}{native}, {report['datetime'][:10]}; at most {', '.join(limits)}.{gpu}"


def table(report: dict[str, Any]) -> str:
    """Every benchmark, group by group: ours, then its peers with how many times as long they take.

    The peak is that of the benchmark's precision: float32 multiply-adds, or PyTorch's bf16 or TF32 matmul.
    """
    lines = [where(report)]
    for group, rows in groupby(report["benchmarks"], key=lambda row: row["group"]):
        lines += ["", f"### {group}", "", "| | time | each | times ours | GFLOP/s | of the peak |"]
        lines.append("| --- | --- | --- | --- | --- | --- |")
        for row in rows:
            facts = row["extra_info"]
            if "seconds" not in facts:
                continue
            rate, peak = facts.get("gflops"), facts.get("peak_gflops")
            share = f"{rate / peak:.0%}" if rate and peak else ""
            each = f"{_time(facts['seconds'] / facts['units'])} per {facts['unit']}"
            speed = f"{rate:.0f}" if rate else ""
            memory = f"; peak {facts['peak_mib']:.0f} MiB" if "peak_mib" in facts else ""
            lines.append(f"| **{row['name']}** | {_time(facts['seconds'])}{memory} | {each} | 1 | {speed} | {share} |")
            for name, seconds in facts.get("peers", {}).items():
                each = f"{_time(seconds / facts['units'])} per {facts['unit']}"
                lines.append(f"| {name} | {_time(seconds)} | {each} | {_ratio(seconds / facts['seconds'])} | | |")
    return "\n".join(lines)


def headline(report: dict[str, Any]) -> str:
    """The rows that answer a newcomer's question, each beside the loop it replaces and the best that PyTorch can do."""
    measured = {row["name"]: row["extra_info"] for row in report["benchmarks"]}
    lines = ["| | fastpunet | what people run | the strongest we could write |", "| --- | --- | --- | --- |"]
    for name, (title, usual, strongest) in _HEADLINE.items():
        facts = measured[name]
        cells = [_peer(facts, peer) if peer else "" for peer in (usual, strongest)]
        lines.append(f"| {title} | **{_time(facts['seconds'])}** | {' | '.join(cells)} |")
    return "\n".join([*lines, "", where(report)])


def _peer(facts: dict[str, Any], name: str) -> str:
    seconds = facts["peers"].get(name)
    if seconds is None:
        return "not installed"
    return f"{_time(seconds)}, {name}: **{_ratio(seconds / facts['seconds'])} x**"


def _ratio(times: float) -> str:
    return f"{times:.1f}" if times < 100 else f"{times:,.0f}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.2g} ns"


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
        text = README.read_text(encoding="utf-8")
        README.write_text(_MARKED.sub(lambda m: f"{m[1]}{headline(report)}\n{m[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--readme" in sys.argv[2:])
