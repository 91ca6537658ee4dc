"""Assesses the annotations of one image, all in files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fastpunet.archive import open_samples
from fastpunet.data import IGNORE
from fastpunet.data.inputs import find_inputs
from fastpunet.data.inputs.annotations import read_annotation
from fastpunet.data.inputs.input import Input
from fastpunet.hypotheses import Assessment, assess
from fastpunet.prediction.archiving.origins import Origins
from fastpunet.prediction.opening import OpenedModel, open_model
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.preparation import prepare
from fastpunet.prediction.request import Request
from fastpunet.progress import Progress


@dataclass(frozen=True)
class FileAssessment:
    """The annotations of one image.

    name      the image's
    slices    the assessment of the image, under the key None, or of each slice of a volume that anybody marked
    warnings  what may make it worthless, a sentence each
    n, seed   of the hypotheses
    """

    name: str
    slices: dict[int | None, Assessment]
    warnings: list[str]
    n: int
    seed: int

    def rows(self) -> list[dict[str, str | int | float | None]]:
        """One row for each annotation of each slice."""
        return [
            {"image": self.name, "slice": place, **row} for place, found in self.slices.items() for row in found.rows()
        ]


def assess_files(
    model: str | os.PathLike[str],
    image: str | os.PathLike[str],
    masks: Sequence[str | os.PathLike[str]],
    request: Request,
    *,
    device: str = "auto",
) -> FileAssessment:
    """Assess the masks of an image, which is prepared for the model as `fastpunet sample` does.

    The hypotheses are those of `fastpunet sample` for the same image and seed. A model of two dimensions assesses each
    slice of a volume that anybody marked. Where the image has to be resampled for the model, the masks are, too.

    Raises ValueError, TypeError or OSError, naming the file, for what cannot be read, for an annotation of another size
    or grid than its image, and for one with labels that the model does not have.
    """
    source = _only(image)
    return _assess(open_model(model, request, device), source, masks, request)


def assess_archived(
    archive: str | os.PathLike[str],
    image: str | os.PathLike[str],
    masks: Sequence[str | os.PathLike[str]],
    *,
    model: str | os.PathLike[str] | None = None,
    device: str = "auto",
) -> FileAssessment:
    """Assess the masks of an image of an archive, as `assess_files` does with the archive's model and request.

    image: its name in the archive, if it is where it was, or the path to where it is now. model: where the archive's
    model is now; None: where it was. Both must be the same files as when the archive was drawn. Raises the errors of
    `assess_files`, and ValueError for hypotheses that were not drawn independently.
    """
    samples = open_samples(archive)
    origins = Origins(samples, model=model, device=device)
    if origins.request.sampler != "random":
        raise ValueError(
            f"sampler: the hypotheses of {archive} are {origins.request.sampler} and depend on each other, expected "
            "random ones; name a model in place of the archive"
        )
    name = os.fspath(image)
    source = origins.image_of(name) if name in samples else origins.item_of(_only(image))
    return _assess(origins.opened, source, masks, origins.request)


def _only(image: str | os.PathLike[str]) -> Input:
    """The one image at a path."""
    inputs = find_inputs([image])
    if len(inputs) != 1:
        raise ValueError(f"image: {image} holds {len(inputs)} images, expected one; use --data for a data set")
    return inputs[0]


def _assess(
    opened: OpenedModel, source: Input, masks: Sequence[str | os.PathLike[str]], request: Request
) -> FileAssessment:
    if not masks:
        raise ValueError("masks: got none, expected at least one annotation of the image")
    method, where = opened.sampler.method, opened.sampler.device
    binary = method.num_classes <= 2
    prepared = prepare(source, method, request)
    source = prepared.source
    labels = torch.from_numpy(np.stack([read_annotation(mask, source, binary=binary) for mask in masks]))
    names = _names([Path(mask) for mask in masks])
    warnings = list(prepared.warnings.values())
    if prepared.resampled:
        warnings.append(f"{source.name}: is assessed with the spacing that the model was trained on, resampled")
    planes = on_grid_of(prepared.images, labels, source)
    several = len(planes) > 1
    marked = [place for place in range(len(planes)) if not several or bool(_is_marked(planes[place]).any())]
    if not marked:
        raise ValueError(f"masks: nobody marked anything in {source.name}, expected a mark in at least one slice")
    found: dict[int | None, Assessment] = {}
    with Progress(len(marked), "assessing", "slice") as progress:
        for place in marked:
            found[place if len(source.size) > method.dims else None] = assess(
                method,
                prepared.images[place].to(where),
                planes[place].to(where),
                request.n,
                seed=request.seed,
                id=id_of(source.name),
                names=names,
                precision=request.precision,
            )
            progress.update(1)
    return FileAssessment(source.name, found, warnings, request.n, request.seed)


def _is_marked(labels: Tensor) -> Tensor:
    return (labels != 0) & (labels != IGNORE)


def on_grid_of(images: Tensor, labels: Tensor, source: Input) -> Tensor:
    """Masks uint8 (M, *source.size) on the grid of its prepared images (B, C, *size): (B, M, *size)."""
    planes = labels.movedim(1, 0) if len(source.size) > images.ndim - 2 else labels[None]
    if planes.shape[2:] == images.shape[2:]:
        return planes
    return F.interpolate(planes.float(), tuple(images.shape[2:]), mode="nearest-exact").to(torch.uint8)


def _names(masks: Sequence[Path]) -> list[str]:
    """Short names of the files: their own, or, if these are not distinct, with their folders."""
    own = [mask.name for mask in masks]
    return own if len(set(own)) == len(own) else [str(mask) for mask in masks]
