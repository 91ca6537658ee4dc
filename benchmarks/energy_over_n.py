"""How long the energy distance takes, from a thousand to a hundred thousand hypotheses of trained models:

python -m benchmarks.energy_over_n DATA [--images 8] [--most 100000] [--output FOLDER]

DATA is the folder of the LIDC bundles, with `lidc/lidc_tiny_test_64.npz`. Writes a table with a row for each
model and n, and with `energy.json` and `energy.png`, to FOLDER. Its columns are medians over images: the share of
hypotheses that are distinct; the time of `energy_distance` of packed hypotheses and the graders, and the longest of any
image; of every pair of hypotheses compared for itself, up to n = 10 000, whose sums must be the very same; and of
1.5 million random pairs, with their margin.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import fastpunet
from fastpunet import PackedMasks, energy_distance
from fastpunet.data import Record, lidc
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.reports.tables import markdown
from fastpunet_kernels import distance_sums

SIZES = (1000, 10_000, 100_000)
ALL_PAIRS = 10_000  # up to so many masks, every pair is compared for itself as well
PAIRS = 1_500_000


def seconds(work: Callable[[], Any], rounds: int) -> float:
    """Median over the rounds, after one that does not count."""
    took = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return median(took[1:])


def measure(model: torch.nn.Module, record: Record, n: int) -> dict[str, float]:
    image = torch.as_tensor(record.image)[None]
    samples = fastpunet.sample(model, image, n, seed=0, output="bits")
    graders = PackedMasks.pack(torch.as_tensor(record.masks)[None])
    rounds = 15 if n <= 1000 else 5 if n <= 10_000 else 1
    found = {
        "distinct": len(torch.unique(samples.words[0, :, 0], dim=0)) / n,
        "ms": 1e3 * seconds(lambda: energy_distance(samples, graders), rounds),
    }
    if n <= ALL_PAIRS:
        found["all pairs, ms"] = all_pairs(samples.words, max(1, rounds // 5))
    if n * (n - 1) // 2 > PAIRS:
        found["random pairs, ms"] = 1e3 * seconds(lambda: energy_distance(samples, graders, pairs=PAIRS), rounds)
        found["margin"] = energy_distance(samples, graders, pairs=PAIRS).margin.item()
    return found


def all_pairs(masks: Tensor, rounds: int) -> float:
    """Milliseconds of comparing every pair once, which is half of what a set and its copy take."""
    ones, copy = torch.ones(masks.shape[:2], dtype=torch.float64), masks.clone()
    itself = distance_sums(masks, masks, ones, ones, 1.0)
    assert torch.equal(itself, distance_sums(masks, copy, ones, ones, 1.0))  # no timing of a wrong answer
    return 1e3 * seconds(lambda: distance_sums(masks, copy, ones, ones, 1.0), rounds) / 2


COLUMNS = ("distinct", "ms", "slowest, ms", "all pairs, ms", "random pairs, ms", "margin")


def report(rows: list[dict[str, Any]]) -> str:
    head = ["model", "n", *COLUMNS]
    return markdown([head, *([row["model"], f"{row['n']:,}", *(number(row.get(c)) for c in COLUMNS)] for row in rows)])


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib import pyplot as plt

    figure, panel = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for model in dict.fromkeys(row["model"] for row in rows):
        for column, style in (("ms", "o-"), ("all pairs, ms", "s--"), ("random pairs, ms", "^:")):
            points = [(row["n"], row[column]) for row in rows if row["model"] == model and column in row]
            label = f"{model}, {column.removesuffix('ms').rstrip(', ') or 'exact'}"
            panel.loglog(*zip(*points, strict=True), style, label=label)
    panel.set(xlabel="hypotheses", ylabel="ms an image")
    panel.legend(fontsize=7)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="hypotheses")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/local"))
    options = parser.parse_args()
    tiny = lidc.read_npz(options.data / "lidc" / "lidc_tiny_test_64.npz")
    sets = {
        "lidc-tiny": tiny[:: len(tiny) // options.images][: options.images],
        "lesions": SyntheticLesions(options.images),
    }
    rows = []
    for name, records in sets.items():
        model = fastpunet.load(name)
        for n in SIZES:
            if n > options.most:
                continue
            each = [measure(model, record, n) for record in records]
            rows.append({"model": name, "n": n, **{key: median(one[key] for one in each) for key in each[0]}})
            rows[-1]["slowest, ms"] = max(one["ms"] for one in each)
            print(rows[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "energy.json").write_text(
        json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1)
    )
    (options.output / "energy.md").write_text(report(rows) + "\n")
    draw(rows, options.output / "energy.png")
    print(report(rows))


if __name__ == "__main__":
    main()
