"""A picture of masks per second against n: python -m benchmarks.masks_per_second PRUNING.json OUTPUT.png

PRUNING.json is what `pytest benchmarks/bench_pruning.py --benchmark-only --benchmark-json=PRUNING.json` has written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLORS = {"pruned": "#0072b2", "dense": "#009e73", "published loop, float32": "#d55e00"}


def curves(report: dict[str, Any]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """For each model, in float32, the points (n, masks per second) of each way."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in report["benchmarks"]:
        facts, parameters = row["extra_info"], row["params"]
        if parameters["precision"] == "ieee":
            ways = found.setdefault(parameters["problem"], {})
            for way, seconds in {"pruned": facts["seconds"], **facts["peers"]}.items():
                ways.setdefault(way, []).append((parameters["n"], parameters["n"] / seconds))
    return found


def draw(report: dict[str, Any], path: Path) -> None:
    """One panel for each model, both axes logarithmic."""
    from matplotlib import pyplot as plt

    models = curves(report)
    figure, panels = plt.subplots(1, len(models), figsize=(3.6 * len(models), 3.2), layout="constrained", sharey=True)
    for panel, (model, ways) in zip(panels, models.items(), strict=True):
        for way, points in ways.items():
            panel.loglog(*zip(*sorted(points), strict=True), "o-", color=COLORS[way], label=way)
        panel.set_title(model, fontsize="medium")
        panel.set_xlabel("hypotheses of an image, n")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("masks per second")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
