"""Images in files, with annotations in files, as subjects of pages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.archive import StoredHypotheses
from fastpunet.data.inputs import Input
from fastpunet.data.inputs.annotations import read_annotation
from fastpunet.models.familiarity import judge
from fastpunet.prediction.drawing import draw
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.preparation import Prepared, prepare
from fastpunet.prediction.request import Request
from fastpunet.reports.page.archived_labels import stored_labels
from fastpunet.reports.page.subject import Subject
from fastpunet.sampler import Sampler

_FEW = 16  # hypotheses that choose the slice of a volume


def check_flat(sampler: Sampler) -> None:
    """Raise ValueError for a model of volumes, which have no page."""
    if sampler.method.dims != 2:
        raise ValueError(
            f"model: {sampler.method.name} is a model of volumes, expected one of images (H, W), which a page shows; "
            "take fastpunet sample"
        )


def file_subject(
    source: Input,
    sampler: Sampler,
    request: Request,
    annotations: Mapping[str, str | os.PathLike[str]],
    place: int | None = None,
    archived: StoredHypotheses | None = None,
) -> Subject:
    """The subject of a page about an image, or about one slice of a volume.

    annotations: name -> file. place: the slice; None: that in which a few hypotheses disagree most. Hypothesis k of a
    slice is slice `place` of hypothesis k of the volume. archived: the hypotheses, if an archive has them. Raises
    ValueError or OSError, naming the file.
    """
    binary = sampler.num_classes <= 2
    prepared = prepare(source, sampler.method, request)
    source = prepared.source
    given = {name: read_annotation(Path(file), source, binary=binary) for name, file in annotations.items()}
    stored, title, notes, chosen = source.read(), source.name, [], None
    if len(source.size) == 3:
        chosen = _most_disputed(prepared, sampler, request) if place is None else _checked(place, source)
        prepared, stored = _slice(prepared, chosen, sampler), stored[:, chosen]
        given = {name: labels[chosen] for name, labels in given.items()}
        title = f"{source.name}, slice {chosen}"
        why = ", in which the hypotheses disagree most" if place is None else ""
        notes = [f"This is slice {chosen} of {source.size[0]}, counted from 0{why}. All numbers are about it alone."]
    elif place is not None:
        raise ValueError(f"slice: got {place} for {source.name}, which is a single image; leave it out")
    return Subject(
        title,
        _origin(source),
        prepared,
        stored,
        id_of(source.name),
        given,
        (*notes, *_resampling(prepared, sampler)),
        None if archived is None else partial(stored_labels, archived, chosen),
    )


def _origin(source: Input) -> str:
    first = source.files[0]
    return first.name if len(source.files) == 1 else f"{first.absolute().parent.name}, {len(source.files)} files"


def _checked(place: int, source: Input) -> int:
    if not 0 <= place < source.size[0]:
        raise ValueError(f"slice: got {place}, expected 0 .. {source.size[0] - 1}, a slice of {source.name}")
    return place


def _slice(prepared: Prepared, place: int, sampler: Sampler) -> Prepared:
    """One slice of a volume, as it was prepared with the others."""
    source = prepared.source.slices()[place]
    spacing = None if prepared.spacing is None else prepared.spacing[1:]
    images = prepared.images[place : place + 1]
    verdict = judge(sampler.method.familiarity, images)
    return replace(prepared, source=source, images=images, spacing=spacing, verdict=verdict)


def _most_disputed(prepared: Prepared, sampler: Sampler, request: Request) -> int:
    """The slice with the largest disagreement of a few hypotheses, summed over its pixels."""
    few = replace(request, n=min(_FEW, request.n), mean=False, entropy=False)
    (drawn,) = draw(sampler, [prepared], [id_of(prepared.source.name)], few)
    return int(np.argmax([disagreement(labels) for labels in drawn.labels.numpy().swapaxes(0, 1)]))


def disagreement(labels: NDArray[np.uint8]) -> float:
    """How many pixels two of the hypotheses (n, H, W), drawn with replacement, label differently, on average.

    >>> disagreement(np.array([[[0, 0]], [[0, 1]]], np.uint8))
    0.5
    """
    shares = ((labels == label).mean(0) ** 2 for label in np.unique(labels))
    agreed: Any = sum(shares)
    return float((1 - agreed).sum())


def _resampling(prepared: Prepared, sampler: Sampler) -> list[str]:
    if not prepared.resampled or sampler.method.spacing is None:
        return []
    trained = " x ".join(f"{step:g}" for step in sampler.method.spacing)
    return [
        f"The model looked at the image with {trained} mm between pixels, as it was trained, and what it outlines was "
        "brought back to the image's own pixels."
    ]
