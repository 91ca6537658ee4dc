"""What pruned decoding gains, for docs/results/pruning.md: python -m benchmarks.pruning_report FILE.json

FILE.json holds the results of benchmarks/bench_pruning.py, with or without others. The command writes the page's table,
and its picture of masks per second against n.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.formats import machine, ratio, time
from benchmarks.headline import ROOT, put

PAGE = ROOT / "docs" / "results" / "pruning.md"
PICTURE = PAGE.with_name("pruning-masks-per-second.png")
PRECISIONS = {"ieee": "float32", "bf16": "bf16"}
LOOP = "published loop, float32"
COLORS = {"pruned": "#0072b2", "dense": "#009e73", LOOP: "#d55e00"}


def rows(report: dict[str, Any]) -> dict[tuple[str, str], dict[int, dict[str, float]]]:
    """For each model and precision the seconds of each way, for each number of hypotheses."""
    found: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    for row in report["benchmarks"]:
        if row["name"].startswith("bench_pruning"):
            facts, of = row["extra_info"], row["params"]
            at = found.setdefault((of["problem"], PRECISIONS[of["precision"]]), {})
            at[of["n"]] = {"pruned": facts["seconds"], **facts["peers"]}
    return {key: dict(sorted(found[key].items())) for key in sorted(found, key=lambda key: (key[0], key[1] == "bf16"))}


def table(report: dict[str, Any]) -> str:
    """A line for each model and precision: the time, and how many times as long the other ways take."""
    found = rows(report)
    sizes = sorted({n for ways in found.values() for n in ways})
    lines = [
        "| model | precision | "
        + " | ".join(f"n = {n}" if n < 10_000 else f"n = {n:,}".replace(",", " ") for n in sizes)
        + " |",
        "| --- " * (2 + len(sizes)) + "|",
    ]
    for (model, precision), ways in found.items():
        cells = [f"{time(ways[n]['pruned'])}: {_others(ways[n])}" for n in sizes]
        lines.append(f"| {model} | {precision} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"{machine(report)}."])


def _others(ways: dict[str, float]) -> str:
    dense, loop = (ways[way] / ways["pruned"] if way in ways else None for way in ("dense", LOOP))
    assert dense is not None
    return f"**{dense:.3g} x**" + ("" if loop is None else f", loop {ratio(loop)} x")


def draw(report: dict[str, Any], path: Path) -> None:
    """Masks per second against n in float32, a panel for each model, all axes logarithmic."""
    from matplotlib import pyplot as plt

    found = {model: ways for (model, precision), ways in rows(report).items() if precision == "float32"}
    figure, panels = plt.subplots(1, len(found), figsize=(3.6 * len(found), 3.2), layout="constrained", sharey=True)
    for panel, (model, ways) in zip(panels, found.items(), strict=True):
        for way, color in COLORS.items():
            points = [(n, n / seconds[way]) for n, seconds in ways.items() if way in seconds]
            if points:
                panel.loglog(*zip(*points, strict=True), "o-", color=color, label=way)
        panel.set_title(model, fontsize="medium")
        panel.set_xlabel("hypotheses of an image, n")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("masks per second")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(COLORS), frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    measured = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    put(PAGE, "measured", table(measured))
    draw(measured, PICTURE)
