"""`fastpunet.report`: the page of one image, in Python and in notebooks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from fastpunet.data import Record
from fastpunet.data.inputs import find_inputs
from fastpunet.intensity import Intensity
from fastpunet.models import checkpoint
from fastpunet.prediction.fitting import check_taken
from fastpunet.prediction.request import Request
from fastpunet.reports.page.data_subjects import record_subject, tensor_subject
from fastpunet.reports.page.document import Page
from fastpunet.reports.page.file_subjects import check_flat, file_subject
from fastpunet.reports.page.making import make_page, name_of_model
from fastpunet.reports.page.subject import Subject
from fastpunet.sampler import Sampler
from fastpunet.windows import windowed


def report(
    model: nn.Module | str | os.PathLike[str],
    image: Tensor | Record | str | os.PathLike[str],
    n: int = 1000,
    *,
    annotations: Mapping[str, Any] | None = None,
    seed: int = 0,
    id: int = 0,
    title: str | None = None,
    classes: Sequence[str] | None = None,
    slice: int | None = None,
    spacing: Sequence[float] | None = None,
    intensity: str | None = None,
    convert: bool = False,
    window: int | None = None,
    overlap: float = 0.5,
    modes: int | None = None,
    precision: str = "auto",
    sampler: str = "random",
) -> Page:
    """Make a page about one image that opens in any browser, without a server and without a network.

    Args:
        model: any model that `fastpunet.sample` takes, of two dimensions; or what `fastpunet.load` takes.
        image: float (C, H, W), scaled as in training, on the model's device; or a `data.Record`, whose graders become
            annotations; or a file that `fastpunet sample` takes, which is prepared as it does.
        n, seed, precision, sampler: see `fastpunet.sample`.
        annotations: name -> class indices (H, W) with 255 where it is not annotated, or name -> file for a file.
        id: of a tensor: hypothesis k is that of `fastpunet.sample(..., ids=torch.tensor([id]))`. Records have ids of
            their own, and those of files follow from their names.
        title: what the page calls the image.
        classes: names of the labels 0, 1, ...
        slice: which slice of a volume in a file to show, counted from 0; None: the one in which hypotheses disagree
            most.
        spacing: mm between rows and between columns, if the image does not say it.
        intensity, convert: of files, see `fastpunet sample --help`.
        window, overlap: see `fastpunet.windowed`.
        modes: how many alternatives to show; None: as many as are found.

    The result shows itself in a notebook; `.save("report.html")` writes the page, and `.html` is its text. Raises
    ValueError or TypeError, naming the argument, for what does not fit. Needs the extra `report`.

    >>> import fastpunet
    >>> case = fastpunet.data.lesions.SyntheticLesions(1, seed=1)[0]
    >>> fastpunet.report("lesions", case, n=50).title
    'record 0'
    """
    request = Request(
        n=n,
        seed=seed,
        precision=precision,
        sampler=sampler,
        intensity=None if intensity is None else Intensity.parse(intensity),
        spacing=None if spacing is None else tuple(spacing),
        convert=convert,
        window=window,
        overlap=overlap,
        modes=modes,
    )
    whole = model if isinstance(model, nn.Module) else checkpoint.load(model)
    drawing = partial(Sampler, precision=precision, sampler=sampler)
    method = drawing(whole).method
    looking = drawing(method if window is None else windowed(method, window, overlap))
    check_flat(looking)
    subject = _subject(image, looking, request, annotations or {}, id, title, slice)
    name = method.name if isinstance(model, nn.Module) else name_of_model(model)
    return make_page(
        subject, looking, request, method=method, model_name=name, classes=classes, command="fastpunet.report"
    )


def _subject(
    image: Tensor | Record | str | os.PathLike[str],
    sampler: Sampler,
    request: Request,
    annotations: Mapping[str, Any],
    id: int,
    title: str | None,
    place: int | None,
) -> Subject:
    if isinstance(image, Record):
        subject = record_subject(image, sampler)
    elif isinstance(image, Tensor):
        subject = tensor_subject(image, sampler, annotations, title=title or "image", id=id, spacing=request.spacing)
    elif isinstance(image, str | os.PathLike):
        found = find_inputs([image])
        if len(found) != 1:
            raise ValueError(f"image: {image} holds {len(found)} images, expected one; name one of them")
        check_taken(found[0], sampler.method, request)
        subject = file_subject(found[0], sampler, request, annotations, place)
    else:
        raise TypeError(f"image: got {type(image).__name__}, expected a tensor (C, H, W), a Record or a file")
    return subject.titled(title) if title else subject
