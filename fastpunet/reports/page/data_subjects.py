"""Images that are floats already, from data sets and from Python, as subjects of pages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.arguments import check_label_range
from fastpunet.data import IGNORE, Record
from fastpunet.data.inputs import Input
from fastpunet.intensity import Intensity
from fastpunet.models.familiarity import judge
from fastpunet.prediction.preparation import Prepared
from fastpunet.reports.page.subject import Subject
from fastpunet.sampler import Sampler
from fastpunet.scoring.references import title

_LONG = 40  # characters of a name that tells people nothing, such as the identifier of a series


def record_subject(record: Record, sampler: Sampler, origin: str | os.PathLike[str] = "") -> Subject:
    """A record of a data set; the segmentations of its graders are annotations.

    origin: where it came from; without it, what the record says itself. Where the exact distribution is known, its
    segmentations stand in place of annotations, with their probabilities.
    """
    names = record.raters or tuple(f"grader {place + 1}" for place in range(len(record.masks)))
    if record.weights is not None:
        names = tuple(f"truth {place + 1}, {100 * weight:.0f} %" for place, weight in enumerate(record.weights))
    about = title(record)
    if record.patient and len(about) > _LONG:
        about = record.patient if record.slice is None else f"{record.patient}, slice {record.slice}"
    source = os.fspath(origin) or title(record)
    graders = dict(zip(names, record.masks, strict=True))
    return _subject(about, source, record.image, sampler, record.id, graders, record.spacing)


def tensor_subject(
    image: Tensor,
    sampler: Sampler,
    annotations: Mapping[str, Any],
    *,
    title: str,
    id: int,
    spacing: tuple[float, ...] | None,
) -> Subject:
    """An image float (C, H, W), scaled as in training, with annotations int (H, W)."""
    labels = {name: np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask) for name, mask in annotations.items()}
    return _subject(title, "", image.detach().float().cpu().numpy(), sampler, id, labels, spacing)


def _subject(
    about: str,
    origin: str,
    image: NDArray[np.float32],
    sampler: Sampler,
    id: int,
    annotations: Mapping[str, NDArray[Any]],
    spacing: tuple[float, ...] | None,
) -> Subject:
    if image.ndim != 3:
        raise ValueError(f"image: got {image.shape}, expected (C, H, W), one image of two dimensions")
    size = image.shape[1:]
    least, most = float(image.min()), float(image.max())
    seen = Intensity.range(min(0.0, least), max(1.0, most))
    source = Input(about, (), "npz", len(image), size, spacing, None, seen, partial(np.copy, image))
    images = torch.from_numpy(image)[None]
    verdict = judge(sampler.method.familiarity, images)
    prepared = Prepared(source, images, spacing, seen, False, "", verdict, {})
    labels = {name: _checked(name, mask, size, sampler.num_classes) for name, mask in annotations.items()}
    return Subject(about, origin, prepared, image, id, labels)


def _checked(name: str, mask: NDArray[Any], size: tuple[int, ...], num_classes: int) -> NDArray[np.uint8]:
    """Class indices of the image's size. Raises ValueError or TypeError, naming the annotation."""
    if mask.shape != size or mask.dtype.kind not in "bui":
        raise ValueError(
            f"annotations: got {mask.dtype} {mask.shape} for {name!r}, expected class indices {size}, as the image"
        )
    labels = torch.from_numpy(mask.astype(np.int64))
    advice = f"{IGNORE} is the label of what is not annotated"
    check_label_range(f"annotations[{name!r}]", labels[labels != IGNORE], max(2, num_classes), advice)
    return mask.astype(np.uint8)
