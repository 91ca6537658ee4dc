"""From the file that a client sends to the bytes of the answer: all that a worker does for a request."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastpunet.data.inputs import Input
from fastpunet.masks import PackedMasks
from fastpunet.prediction.drawing import Drawn, draw
from fastpunet.prediction.fitting import check_taken
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.preparation import Prepared, prepare
from fastpunet.prediction.request import Request
from fastpunet.prediction.statement import state
from fastpunet.reports.page.file_subjects import check_flat, file_subject
from fastpunet.reports.page.making import make_page
from fastpunet.serving.asked import Asked, AskedSample
from fastpunet.serving.limits import Limits
from fastpunet.serving.outlines import outlines
from fastpunet.serving.served import Served
from fastpunet.serving.uploads import uploaded
from fastpunet.serving.work import Watch

_log = logging.getLogger(__name__)
JSON, CSV, NPZ, HTML = "application/json", "text/csv; charset=utf-8", "application/x-npz", "text/html; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """The body of a response, and how many hypotheses were drawn for it."""

    content: bytes
    media_type: str
    hypotheses: int


def answer_sample(
    served: Served, folder: Path, content: bytes, asked: AskedSample, limits: Limits, watch: Watch
) -> Answer:
    """What the hypotheses of an image say, in the form that was asked for.

    folder: where the file may lie meanwhile. Raises Refusal, and ValueError, naming the argument, for a file or a
    parameter that does not fit.
    """
    modes = asked.modes if asked.output == "answer" else None
    request = asked.request(modes=modes, maps=asked.output == "maps")
    with uploaded(folder, asked.name, content) as source:
        _check(source, served, request, limits)
        prepared = prepare(source, served.opened.sampler.method, request)
        id = _id(asked, source)
        watch()
        (drawn,) = draw(served.opened.sampler, [prepared], [id], request, watch, _log.warning)
        watch()
        body, media_type = _form(asked.output, served, prepared, drawn, id, request)
    return Answer(body, media_type, request.n)


def answer_report(served: Served, folder: Path, content: bytes, asked: Asked, limits: Limits, watch: Watch) -> Answer:
    """The report page about an image. Raises the errors of `answer_sample`, and ValueError for a model of volumes."""
    request = asked.request(modes=asked.modes or None)
    sampler = served.opened.sampler
    check_flat(sampler)
    with uploaded(folder, asked.name, content) as source:
        _check(source, served, request, limits)
        subject = replace(file_subject(source, sampler, request, {}), id=_id(asked, source))
        watch()
        page = make_page(
            subject,
            sampler,
            request,
            method=served.opened.method,
            model_name=served.name,
            command=f"fastpunet serve {served.name}",
        )
    return Answer(page.html.encode(), HTML, request.n)


def _check(source: Input, served: Served, request: Request, limits: Limits) -> None:
    limits.check_n(request.n)
    limits.check_image(source, request.n)
    check_taken(source, served.opened.sampler.method, request)


def _id(asked: Asked, source: Input) -> int:
    return id_of(source.name) if asked.id is None else asked.id


def _form(
    output: str, served: Served, prepared: Prepared, drawn: Drawn, id: int, request: Request
) -> tuple[bytes, str]:
    classes, about = served.opened.sampler.num_classes, served.about(request)
    if output in ("answer", "measures"):
        said = state(prepared, drawn, id, classes, request, about)
        if output == "measures":
            return said.table.encode(), CSV
        shapes = [] if said.modes is None else [outlines(mask) for mask in said.modes.masks.numpy()]
        found = [{**mode, "outlines": lines} for mode, lines in zip(said.content["modes"], shapes, strict=True)]
        files = [path.name for path in prepared.source.files]
        text = json.dumps(
            {**said.content, "files": files, "sentence": said.sentence, "modes": found},
            ensure_ascii=False,
            allow_nan=False,
        )
        return text.encode(), JSON
    told = {
        "name": prepared.source.name,
        "sha256": prepared.sha256,
        "id": id,
        **about,
        "warnings": list(prepared.warnings.values()),
    }
    if output == "maps":
        assert drawn.mean is not None
        assert drawn.entropy is not None
        return _npz({"mean": drawn.mean.numpy(), "entropy": drawn.entropy.numpy()}, told), NPZ
    packed = PackedMasks.pack(drawn.labels[None], None if classes <= 2 else classes)
    return _npz({"words": packed.words[0].numpy(), "size": np.array(packed.size)}, told), NPZ


def _npz(arrays: Mapping[str, Any], about: Mapping[str, Any]) -> bytes:
    """The arrays as the bytes of an npz file, and beside them what they are about as JSON."""
    file = io.BytesIO()
    np.savez(file, **arrays, about=np.array(json.dumps(about, ensure_ascii=False)))
    return file.getvalue()
