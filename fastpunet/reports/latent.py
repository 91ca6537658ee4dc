"""Draws the latent space analysis of one image, given a checkpoint and a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fastpunet.data import IGNORE, Record, Records, sources
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.data.streets import find_streets
from fastpunet.devices import find_device
from fastpunet.hypotheses import decode_grid
from fastpunet.hypotheses.latent_space.latent_grid import check_grid
from fastpunet.models import Method, checkpoint
from fastpunet.reports.demo import HELD_OUT_SEED, IMAGES
from fastpunet.reports.figures import check_figure_path, save_figure
from fastpunet.reports.latent_figure import MOST_GRADERS, latent_figure
from fastpunet.reports.records import DataSet
from fastpunet.scoring.volume_slices import fullest_slice, sliced


def draw_latent_space(
    source: str,
    output: str | os.PathLike[str],
    *,
    data: str | None = None,
    kind: str | None = None,
    class_flips: bool = False,
    image: int = 0,
    axes: str | Sequence[int] = "principal",
    size: int = 9,
    span: float = 3.0,
    seed: int = 0,
    device: str = "auto",
    intensity: str | None = None,
) -> Path:
    """Write the picture of one image's latent space to `output` (PNG, PDF or SVG).

    Args:
        source: a checkpoint or the name of shipped weights, as in `fastpunet.load`.
        data, kind: see `data.sources.read`. Without a kind, the data set is recognised by its content. Without data,
            the image is a synthetic lesion.
        class_flips: whether five classes of CamVid or Cityscapes are flipped at random.
        image: its index in the data. At most four graders are drawn. If the exact distribution is known, its likeliest
            modes are drawn instead of graders; if nobody annotated the image, there are none.
        axes, size, span, seed: see `hypotheses.decode_grid`.
        device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU if there is one.
        intensity: which grey values of the data become 0 and 1, such as "range:0:4095"; without it, as the model's
            training had it.

    Raises ValueError, naming the argument, for arguments that do not fit. The output is checked before any work starts.
    """
    path = check_figure_path("output", output)
    check_grid(axes, size, span)
    chosen = "lesions" if data is None else kind or sources.recognise(data)
    if class_flips:
        find_streets(chosen)
    model = checkpoint.load(source).to(find_device(device))
    records = _records(model, data, chosen, class_flips, intensity)
    if not 0 <= image < len(records):
        raise ValueError(f"image: got {image}, expected 0 .. {len(records) - 1}, the number of an image in the data")
    noun = "grader" if records[image].weights is None else "mode"
    record = _likeliest(records[image])
    pixels, masks = (torch.from_numpy(array).to(model.device) for array in (record.image, record.masks))
    labels = masks if len(masks) else None
    grid = decode_grid(model, pixels, labels, axes=axes, size=size, span=span, seed=seed, ignore_index=IGNORE)
    place = fullest_slice(record)  # one slice of a volume is drawn
    if place is not None:
        grid = replace(grid, hypotheses=grid.hypotheses[:, :, place])
        record = replace(record, image=sliced(record.image, place), masks=sliced(record.masks, place))
    names = [f"principal axis {i}" if isinstance(axes, str) else f"dimension {axes[i - 1]}" for i in (1, 2)]
    save_figure(latent_figure(grid, record, model.num_classes, names, noun), path)
    return path


def _records(model: Method, data: str | None, kind: str, class_flips: bool, intensity: str | None) -> Records:
    if data is None:
        if intensity is not None:
            raise ValueError(f"intensity: got {intensity!r} without data, expected none for synthetic lesions")
        if (model.in_channels, model.num_classes) != (1, 1):
            raise ValueError(
                f"data: got none, but the model takes {model.in_channels} channels and {model.num_classes} classes, "
                "which the synthetic lesions do not have; name a data set"
            )
        return SyntheticLesions(IMAGES, HELD_OUT_SEED)
    records = DataSet(data, kind, intensity=intensity).records_for(model)
    return find_streets(kind).flipped(records) if class_flips else records


def _likeliest(record: Record) -> Record:
    """The record with only as many segmentations as are drawn: the first ones, or the likeliest ones."""
    order = np.arange(len(record.masks)) if record.weights is None else np.argsort(-record.weights, kind="stable")
    kept = np.sort(order[:MOST_GRADERS])
    raters = tuple(record.raters[place] for place in kept) if record.raters else ()
    return replace(record, masks=record.masks[kept], weights=None, raters=raters)
