"""The tables of the README: how fast, and how good. Every figure in them comes from a file of results.

`python -m benchmarks.report FILE.json --readme` writes them; `tests/test_readme_figures.py` compares them with the
files.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from benchmarks.formats import limits, machine, ratio, time

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SPEED = ROOT / "docs" / "results" / "speed.md"
GPU = ROOT / "benchmarks" / "results" / "h200" / "end-to-end-e662646.json"
SCORES = {name: ROOT / "docs" / "results" / f"{name}.json" for name in ("comparison", "distribution")}

# What is shown of each: name of the benchmark, what the reader calls it, the peers shown.
_BATCHED = "PyTorch, split and batched"
_SHOWN = {"port's loop": "port", _BATCHED: "PyTorch"}
_FIRST = {
    "bench_end_to_end[1000-ieee]": ("image to 1000 masks, float32", "port's loop", _BATCHED),
    "bench_end_to_end[1000-bf16]": ("the same in bf16", "port's loop", _BATCHED),
    "bench_end_to_end[16-ieee]": ("image to 16 masks, float32", "port's loop", _BATCHED),
    "bench_pairwise[discs]": ("IoU of 1000 x 1000 masks", "pycocotools", "float32 matmul"),
    "bench_binary": ("energy distance, 1000 masks, 4 graders", "NumPy loop", None),
}
_MORE = {
    "bench_decode[bits-ieee]": ("decode 1000 masks, float32", "port's loop", _BATCHED),
    "bench_decode[bits-bf16]": ("decode 1000 masks, bf16", "port's loop", "PyTorch, the same in bf16"),
    "bench_decode_classes[ieee]": ("decode 16 label maps of 24 classes, 256 x 512", "port's loop", _BATCHED),
    "bench_street[labels]": (
        "energy distance, 24 classes, 256 x 512, 16 maps, 32 modes",
        "confusion matrix a pair",
        None,
    ),
}
_HEAD = "| | fastpunet | what people run | the strongest we could write |\n| --- | --- | --- | --- |"

# The methods of the table of quality: which results, their name there, the reader's name.
METHODS = (
    ("distribution", "Probabilistic-U-Net-hypotheses", "**trained by fastpunet's recipe `lidc-tiny`**"),
    ("comparison", "Probabilistic-U-Net", "Probabilistic U-Net, as published"),
    ("comparison", "M-Heads", "M-Heads"),
    ("comparison", "SSN", "stochastic segmentation network"),
)
HYPOTHESES = 16  # as in most papers


def speed(path: Path) -> str:
    """The rows that answer a newcomer's first question, of a file of benchmarks, and one of a GPU."""
    report = json.loads(path.read_text(encoding="utf-8"))
    gpu = json.loads(GPU.read_text(encoding="utf-8"))
    rows = _rows(report, _FIRST)
    rows.insert(2, _gpu_row(gpu))
    on = f"On {machine(report)}; the GPU is an {gpu['about']['gpu']}, with torch {gpu['about']['torch']}."
    links = f"[How it was measured](docs/results/speed.md), [all rows]({_folder(path, README)}/table.md)."
    return "\n".join([_HEAD, *rows, "", f"{on} {links}"])


def all_speed(path: Path, page: Path) -> str:
    """The same rows and more for a page of the documentation, how time scales, and every benchmark that was run."""
    report = json.loads(path.read_text(encoding="utf-8"))
    folder = _folder(path, page)
    about = f"{machine(report)}; {limits(report)} [The file of all benchmarks]({folder}/{path.name})."
    plot = f"![Time over hypotheses, pixels and classes, and of summaries]({folder}/scaling.png)"
    everything = ["## Every benchmark", "", f"```{{include}} {folder}/table.md", "```"]
    return "\n".join([_HEAD, *_rows(report, _FIRST | _MORE), "", about, "", plot, "", *everything])


def quality() -> str:
    """Energy distances of the methods that were trained on the same data, the best first."""
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in SCORES.items()}
    perfect = results["comparison"]["yardsticks"]["a perfect model"][str(HYPOTHESES)]
    lines = ["| | energy distance, V | energy distance, U |"]
    lines += ["| --- | --- | --- |", f"| a perfect model | {perfect['expected_value']['value']:.3f} | 0 |"]
    for name, method, title in METHODS:
        scores = results[name]["methods"][method]["pooled"][str(HYPOTHESES)]
        lines.append(f"| {title} | {_interval(scores['expected_value'])} | {_interval(scores['unbiased'])} |")
    return "\n".join(lines)


def put(page: Path, mark: str, text: str) -> None:
    """Replace what stands between <!-- mark --> and <!-- /mark --> of a page."""
    before = page.read_text(encoding="utf-8")
    marked = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    page.write_text(marked.sub(lambda found: f"{found[1]}{text}\n{found[2]}", before), encoding="utf-8")


def _folder(path: Path, page: Path) -> str:
    return Path(os.path.relpath(path.resolve().parent, page.parent)).as_posix()


def _rows(report: dict[str, Any], chosen: dict[str, tuple[str, str, str | None]]) -> list[str]:
    measured = {row["name"]: row["extra_info"] for row in report["benchmarks"]}
    lines = []
    for name, (title, usual, strongest) in chosen.items():
        seconds, peers = measured[name]["seconds"], measured[name]["peers"]
        cells = [_peer(peers.get(peer), peer, seconds) if peer else "" for peer in (usual, strongest)]
        lines.append(f"| {title} | **{time(seconds)}** | {' | '.join(cells)} |")
    return lines


def _gpu_row(gpu: dict[str, Any]) -> str:
    """One row of two runs: beside the port's loop, and beside what torch.compile makes, which names our time there."""
    rows = {row["name"]: row["seconds"] for row in gpu["rows"]}
    eager = rows["image in, 1000 masks out, tf32"]
    beside = rows["image in, 1000 masks out, beside what torch.compile makes, tf32"]
    ours, again = eager["ours, replayed"], beside["ours, replayed"]
    loop = _peer(eager["port's loop"], "port's loop", ours)
    strongest = _peer(beside["PyTorch, split, batched, compiled"], f"compiled, to our {time(again)}", again)
    return f"| the same on a GPU, TF32 | **{time(ours)}** | {loop} | {strongest} |"


def _peer(seconds: float | None, name: str, ours: float) -> str:
    shown = _SHOWN.get(name, name)
    return "not installed" if seconds is None else f"{time(seconds)}, {shown}: **{ratio(seconds / ours)} x**"


def _interval(score: dict[str, float]) -> str:
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
