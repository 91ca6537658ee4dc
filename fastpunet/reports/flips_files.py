"""Writes an evaluation of class flips as Markdown, JSON and a figure, each file whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import numpy as np

from fastpunet.data.flips import modes
from fastpunet.files import write_text
from fastpunet.optional import needed_for
from fastpunet.reports.figures import LINE_COLOURS, save_figure
from fastpunet.reports.flips_comparison import FlipsComparison
from fastpunet.reports.flips_table import flips_content
from fastpunet.reports.outputs import check_stem, with_ending
from fastpunet.scoring.flip_evaluation import FlipsEvaluation

with needed_for("drawing figures", "report"):
    from matplotlib.figure import Figure

_WIDTH = 3.5  # inches: one column of a paper
_TRUTH = "#111418"


def write_flips(comparison: FlipsComparison, stem: str | os.PathLike[str]) -> list[Path]:
    """Write STEM.md, STEM.json and STEM-flips.png and .svg. Returns their paths."""
    base = check_stem(stem)
    base.parent.mkdir(parents=True, exist_ok=True)
    written = [with_ending(base, ending) for ending in ("-flips.png", "-flips.svg", ".md", ".json")]
    figure = flips_figure(comparison.results, comparison.names)
    for path in written[:2]:
        save_figure(figure, path)
    write_text(written[2], comparison.tables() + "\n")
    content = {model: flips_content(result) for model, result in comparison.results.items()}
    write_text(written[3], json.dumps(content, allow_nan=False) + "\n")
    return written


def flips_figure(results: Mapping[str, FlipsEvaluation], names: Mapping[int, str]) -> Figure:
    """Show how often each class is flipped, and how often hypotheses are in each mode, together with the truth.

    The upper panel has a group of bars for each class: the truth, then each model with its interval over images. The
    lower panel has the 2^k modes from the likeliest to the least likely, over the images that have all classes: the
    truth as a line, and a dot for each model.
    """
    figure = Figure(figsize=(_WIDTH, 4.0), dpi=300, layout="constrained")
    upper, lower = figure.subplots(2)
    probabilities = next(iter(results.values())).probabilities
    width = 0.8 / (1 + len(results))
    places = np.arange(len(probabilities)) - 0.4 + width / 2
    upper.bar(places, list(probabilities.values()), 0.9 * width, color=_TRUTH, label="truth")
    exact = modes(probabilities)[1]
    order = np.argsort(-exact, kind="stable")
    lower.plot(exact[order], color=_TRUTH, drawstyle="steps-mid", linewidth=1)
    for k, ((name, result), colour) in enumerate(zip(results.items(), cycle(LINE_COLOURS)), 1):
        found = result.image_frequencies()
        ends = np.abs(np.stack((found.low, found.high)) - found.mean)
        bars = {"color": colour, "label": name, "error_kw": {"linewidth": 0.8}}
        upper.bar(places + k * width, found.mean, 0.9 * width, yerr=ends, **bars)
        lower.plot(result.mode_frequencies().mean[order], "o", color=colour, markersize=2.5)
    upper.set_xticks(range(len(probabilities)), [names[label] for label in probabilities])
    upper.set_ylabel("share flipped", fontsize=7)
    lower.set_xlabel(f"the {len(exact)} modes, from the likeliest", fontsize=7)
    lower.set_ylabel("share of hypotheses", fontsize=7)
    for axis in (upper, lower):
        axis.tick_params(labelsize=6.5)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_ylim(bottom=0)
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=6.5)
    return figure
