"""Writes a comparison as Markdown, JSON, CSV and figures, each file whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastpunet.files import write_text
from fastpunet.reports.comparison import Comparison
from fastpunet.reports.comparison_figures import energy_boxes, energy_curves, reliability_diagrams
from fastpunet.reports.comparison_tables import tables
from fastpunet.reports.figures import save_figure
from fastpunet.reports.outputs import check_stem, with_ending
from fastpunet.reports.sample_grid import sample_grid
from fastpunet.scoring.evaluation import Evaluated
from fastpunet.scoring.registry import SCORES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_CAPTIONS = {
    "energy": "Energy distance (V) of every image: quartiles, 5th and 95th percentile; the mean with its interval",
    "curves": "Mean energy distance (V) over the number of hypotheses, beside a model that draws as graders do",
    "reliability": "Shares of graders over shares of hypotheses: of pixels with a class, of images with any outline",
    "samples": "The images that graders disagree on most: graders, then the first hypotheses of every method",
}


_TRACES = ("name", "slice", "patient", "graders", "raters")


def write(comparison: Comparison, stem: str | os.PathLike[str]) -> list[Path]:
    """Write STEM.md, STEM.json (estimates), STEM.csv (every image), and the figures as PNG and SVG."""
    base = check_stem(stem)
    base.parent.mkdir(parents=True, exist_ok=True)
    written = []
    figures = dict(_figures(comparison))
    for name, figure in figures.items():
        for suffix in (".png", ".svg"):
            path = with_ending(base, f"-{name}{suffix}")
            save_figure(figure, path)
            written.append(path)
    texts = {
        ".md": _document(comparison, base.name, list(figures)),
        ".json": _json(comparison),
        ".csv": _csv(comparison),
    }
    for suffix, text in texts.items():
        path = with_ending(base, suffix)
        write_text(path, text)
        written.append(path)
    return written


def _document(comparison: Comparison, stem: str, figures: list[str]) -> str:
    evaluations = [evaluation for parts in comparison.evaluations.values() for evaluation in parts.values()]
    drawing, scoring = (sum(evaluation.seconds[name] for evaluation in evaluations) for name in ("drawing", "scoring"))
    first = evaluations[0]
    facts = (
        f"{comparison.data}: {len(first.images)} images of {len(set(first.patients))} patients; convention "
        f"{comparison.convention}; hypotheses of seed {comparison.seed}. {len(evaluations)} checkpoints, means by "
        "method; in brackets 95 % intervals over patients and, of several seeds, over seeds. Bold: better than every "
        f"other method of the row (5 %, Holm). fastpunet {version('fastpunet')}, drawing "
        f"{drawing:.0f} s, scoring {scoring:.1f} s."
    )
    pictures = [f"![{_CAPTIONS[name]}]({stem}-{name}.svg)\n\n{_CAPTIONS[name]}" for name in figures]
    return (
        "\n\n".join([comparison.introduction.strip() or f"# {comparison.data}", facts, tables(comparison), *pictures])
        + "\n"
    )


def _json(comparison: Comparison) -> str:
    """Every estimate with its interval and its numbers of images and patients, null where undefined."""
    content: dict[str, Any] = {
        "data": comparison.data,
        "seed": comparison.seed,
        "convention": comparison.convention,
        "fastpunet": version("fastpunet"),
        "unannotated": comparison.unannotated,
        "trained_on": dict(comparison.seen),
        "yardsticks": {
            name: _estimates(result) for name, result in {**comparison.yardsticks, **comparison.floors}.items()
        },
        "methods": {
            name: {
                "pooled": _estimates(comparison.pooled[name]),
                "checkpoints": {part: _estimates(evaluation) for part, evaluation in parts.items()},
            }
            for name, parts in comparison.evaluations.items()
        },
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _estimates(evaluation: Evaluated) -> dict[str, dict[str, dict[str, float | int | None]]]:
    return {
        str(n): {
            name: {
                key: None if np.isnan(number) else number
                for key, number in evaluation.estimate(n, name)._asdict().items()
            }
            for name, score in SCORES.items()
            if score.title and evaluation.has(n, name)
            for estimate in [evaluation.estimate(n, name)]
        }
        for n in evaluation.ns
    }


def _csv(comparison: Comparison) -> str:
    """A row for each checkpoint, number of hypotheses and image."""
    names = [name for name in SCORES if _is_column(comparison.any_evaluation.scores, name)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["method", "checkpoint", "n", "image", "id", *_TRACES, *names])
    for method, parts in comparison.evaluations.items():
        for checkpoint, evaluation in parts.items():
            for n, columns in evaluation.scores.items():
                nowhere = np.full(len(evaluation.images), np.nan)
                numbers = np.stack([columns.get(name, nowhere) for name in names], axis=1)
                for place, (image, row) in enumerate(zip(evaluation.images, numbers, strict=True)):
                    slice_ = "" if image.slice is None else image.slice
                    traces = [image.name, slice_, image.patient, image.graders, " ".join(image.raters)]
                    numbers_ = (f"{number:.6g}" for number in row)
                    writer.writerow([method, checkpoint, n, place, image.id, *traces, *numbers_])
    return text.getvalue()


def _is_column(scores: Mapping[int, Mapping[str, np.ndarray]], name: str) -> bool:
    """Whether the score of an image is a single number."""
    return any(name in columns and columns[name].ndim == 1 for columns in scores.values())


def _figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    shared = [n for n in comparison.ns if n <= comparison.shared_n]
    yield "energy", energy_boxes(comparison.pooled, shared)
    yield "curves", energy_curves(comparison.pooled, comparison.perfect)
    yield "reliability", reliability_diagrams(comparison.pooled, comparison.shared_n)
    if comparison.pictures:
        yield "samples", sample_grid(comparison.pictures)
