"""A comparison as Markdown, JSON, CSV and figures, each file whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fastpunet.reports.comparison import Comparison
from fastpunet.reports.comparison_figures import energy_boxes, energy_curves, reliability_diagrams
from fastpunet.reports.evaluation import Evaluation
from fastpunet.reports.figures import save_figure
from fastpunet.reports.sample_grid import sample_grid
from fastpunet.reports.scores import DASH, SCORES, cell, markdown, score_table

_CAPTIONS = {
    "energy": "Energy distance (V) of every image: quartiles, 5th and 95th percentile; the mean with its interval",
    "curves": "Mean energy distance (V) over the number of hypotheses, beside a model that draws as graders do",
    "reliability": "Shares of graders over shares of hypotheses: of pixels that are lesion, of images with any",
    "samples": "The images that graders disagree on most: graders, then the first hypotheses of every method",
}


def tables(comparison: Comparison) -> str:
    """Markdown. One method: its scores at every n. Several: energy distance at every n, all scores at the largest
    n that all have, and every checkpoint by itself."""
    pooled = comparison.pooled
    if len(pooled) == 1:
        evaluation = next(iter(pooled.values()))
        columns = {f"n = {n}": (evaluation, n) for n in evaluation.scores}
        parts = [score_table(columns, "mean [95 % interval]", rank=False)]
    else:
        n = comparison.shared_n
        columns = {name: (evaluation, n) for name, evaluation in pooled.items()}
        parts = [_energy_table(comparison), score_table(columns, f"n = {n}", rank=True)]
    if any(len(checkpoints) > 1 for checkpoints in comparison.evaluations.values()):
        parts.append(_checkpoint_table(comparison))
    return "\n\n".join(parts)


def check_stem(stem: str | os.PathLike[str]) -> Path:
    """The beginning of the written files' names. Raises ValueError unless its folder exists."""
    base = Path(stem)
    if not base.name or not base.absolute().parent.is_dir():
        raise ValueError(f"output: got {str(stem)!r}, expected the beginning of names in a folder that exists")
    return base


def write(comparison: Comparison, stem: str | os.PathLike[str]) -> list[Path]:
    """Write STEM.md, STEM.json (estimates), STEM.csv (every image), and the figures as PNG and SVG."""
    base = check_stem(stem)
    written = []
    figures = {name: figure for name, figure in _figures(comparison)}
    for name, figure in figures.items():
        for suffix in (".png", ".svg"):
            path = base.with_name(f"{base.name}-{name}{suffix}")
            save_figure(figure, path)
            written.append(path)
    texts = {
        ".md": _document(comparison, base.name, list(figures)),
        ".json": _json(comparison),
        ".csv": _csv(comparison),
    }
    return [*written, *(write_text(base, suffix, text) for suffix, text in texts.items())]


def write_text(base: Path, suffix: str, text: str) -> Path:
    """Write the file whose name is base's with that suffix, whole or not at all."""
    path = base.with_name(base.name + suffix)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def _energy_table(comparison: Comparison) -> str:
    rows = [["energy distance, V ↓", *(f"n = {n}" for n in comparison.ns)]]
    for name, evaluation in comparison.pooled.items():
        cells = [cell(evaluation.estimate(n, "value")) if n in evaluation.scores else DASH for n in comparison.ns]
        rows.append([name, *cells])
    if comparison.perfect:
        rows.append(["a perfect model", *(f"{value:.3f}" for value in comparison.perfect.values())])
    return markdown(rows)


def _checkpoint_table(comparison: Comparison) -> str:
    names = ("value", "unbiased", "present_distance", "presence_correlation")
    n = comparison.shared_n
    rows = [[f"n = {n}", *(SCORES[name].title for name in names)]]
    for checkpoints in comparison.evaluations.values():
        for name, evaluation in checkpoints.items():
            estimates = [evaluation.estimate(n, score) if evaluation.has(n, score) else None for score in names]
            rows.append([name, *(DASH if estimate is None else cell(estimate) for estimate in estimates)])
    return markdown(rows)


def _document(comparison: Comparison, stem: str, figures: list[str]) -> str:
    evaluations = [evaluation for parts in comparison.evaluations.values() for evaluation in parts.values()]
    drawing, scoring = (sum(evaluation.seconds[name] for evaluation in evaluations) for name in ("drawing", "scoring"))
    first = evaluations[0]
    facts = (
        f"{comparison.data}: {len(first.patients)} images of {len(set(first.patients))} patients; convention "
        f"{comparison.convention}; hypotheses of seed {comparison.seed}. In brackets 95 % bootstrap intervals over "
        f"patients, {len(evaluations)} checkpoints pooled by method. fastpunet {version('fastpunet')}, drawing "
        f"{drawing:.0f} s, scoring {scoring:.1f} s."
    )
    pictures = [f"![{_CAPTIONS[name]}]({stem}-{name}.svg)\n\n{_CAPTIONS[name]}" for name in figures]
    return (
        "\n\n".join([comparison.introduction.strip() or f"# {comparison.data}", facts, tables(comparison), *pictures])
        + "\n"
    )


def _json(comparison: Comparison) -> str:
    """Every estimate as [value, low, high]; null where undefined."""

    def estimates(evaluation: Evaluation) -> dict[str, dict[str, list[float | None]]]:
        return {
            str(n): {
                name: [None if np.isnan(number) else float(number) for number in evaluation.estimate(n, name)]
                for name in SCORES
                if evaluation.has(n, name)
            }
            for n in evaluation.scores
        }

    content: dict[str, Any] = {
        "data": comparison.data,
        "seed": comparison.seed,
        "convention": comparison.convention,
        "fastpunet": version("fastpunet"),
        "perfect": {str(n): value for n, value in comparison.perfect.items()},
        "methods": {
            name: {
                "pooled": estimates(comparison.pooled[name]),
                "checkpoints": {part: estimates(evaluation) for part, evaluation in parts.items()},
            }
            for name, parts in comparison.evaluations.items()
        },
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _csv(comparison: Comparison) -> str:
    """A row an image, number of hypotheses and checkpoint."""
    text = io.StringIO()
    writer = csv.writer(text)
    names: list[str] = []
    for method, parts in comparison.evaluations.items():
        for checkpoint, evaluation in parts.items():
            for n, scores in evaluation.scores.items():
                if not names:
                    names = list(scores)
                    writer.writerow(["method", "checkpoint", "n", "image", "patient", *names, "graders_presence"])
                columns = np.stack([*(scores[name] for name in names), evaluation.graders_presence], axis=1)
                for image, (patient, row) in enumerate(zip(evaluation.patients, columns, strict=True)):
                    writer.writerow([method, checkpoint, n, image, patient, *(f"{number:.6g}" for number in row)])
    return text.getvalue()


def _figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    shared = [n for n in comparison.ns if n <= comparison.shared_n]
    yield "energy", energy_boxes(comparison.pooled, shared)
    yield "curves", energy_curves(comparison.pooled, comparison.perfect)
    yield "reliability", reliability_diagrams(comparison.pooled, comparison.shared_n)
    if comparison.pictures:
        yield "samples", sample_grid(comparison.pictures)
