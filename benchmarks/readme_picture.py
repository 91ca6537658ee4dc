"""Draws the picture of the README: a slice with its radiologists' outlines, and five modes of a thousand hypotheses.

python -m benchmarks.readme_picture DIR/lidc_tiny_test_64.npz docs/figures/five-modes.svg
"""

from __future__ import annotations

import argparse

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

import fastpunet
from benchmarks.modes_gallery import MOST, SEED, N, draw_row
from fastpunet.data import Record, lidc
from fastpunet.hypotheses import modes

PLACE = 58  # in the data: one radiologist outlines all of it, two outline a part, and one outlines nothing
REPEATABLE = {"svg.fonttype": "none", "svg.hashsalt": "fastpunet"}  # text as text, and the same names in every run


def picture(record: Record) -> Figure:
    """The outlines at the left, twice as large as the modes and the last cell, which are two rows of three."""
    model = fastpunet.load("lidc-tiny")
    image, ids = torch.from_numpy(record.image)[None], torch.tensor([record.id])
    masks = fastpunet.sample(model, image, N, seed=SEED, ids=ids)
    mean = fastpunet.summarize(model, image, N, seed=SEED, ids=ids).mean[0, 0].numpy()
    figure = Figure(figsize=(5.2, 2.21))
    names = [["graders", "graders", *"abc"], ["graders", "graders", *"def"]]
    cells = figure.subplot_mosaic(names, width_ratios=(1.06, 1.06, 1, 1, 1))
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.01, top=0.93, wspace=0.05, hspace=0.16)
    draw_row([cells[name] for name in ("graders", *"abcdef")], record, modes(masks, most=MOST)[0], mean)
    graders = cells["graders"]
    graders.set_ylabel("")
    graders.set_title(graders.get_title().replace("outline", "radiologists outline it"), fontsize=7, pad=2)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", metavar="FILE")
    parser.add_argument("output", metavar="SVG")
    options = parser.parse_args()
    record = lidc.read_npz(options.data, intensity=fastpunet.load("lidc-tiny").intensity)[PLACE]
    with rc_context(REPEATABLE):
        picture(record).savefig(options.output, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
