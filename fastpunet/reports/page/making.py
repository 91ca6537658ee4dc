"""From a subject to its page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from fastpunet.models.checkpoint import WEIGHTS_FILE
from fastpunet.models.method import Method
from fastpunet.prediction.request import Request
from fastpunet.reports.page.case import build_case
from fastpunet.reports.page.document import Page, page_of
from fastpunet.reports.page.drawn_cases import draw_case
from fastpunet.reports.page.entry import entry_of
from fastpunet.reports.page.subject import Subject
from fastpunet.reports.page.trust import model_facts
from fastpunet.sampler import Sampler


def make_page(
    subject: Subject,
    sampler: Sampler,
    request: Request,
    *,
    method: Method,
    model_name: str,
    classes: Sequence[str] | None = None,
    command: str = "",
    asked: Mapping[str, Any] | None = None,
) -> Page:
    """Draw the hypotheses of a subject, and make its page.

    method: the sampler's, or what is inside of its windows: the one that was calibrated. classes: the names of the
    labels 0, 1, ... command: how the page was made. asked: see `document.page_of`. Raises ValueError, naming the
    argument, for anything that does not fit.
    """
    drawn = draw_case(subject, sampler, request)
    made = {
        "version": metadata.version("fastpunet"),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": command,
    }
    names = _class_names(classes, drawn.classes)
    case, given_up = build_case(drawn, model_facts(method, model_name, subject.prepared.verdict), made, names)
    smaller = {"the size of the page": " ".join(given_up)} if given_up else {}
    return page_of(case, asked or {}, entry_of(drawn, case), {**subject.prepared.warnings, **smaller})


def name_of_model(source: str | os.PathLike[str]) -> str:
    """What a page calls a model that was loaded from there: a file by its stem, that of a training run by its folder.

    >>> name_of_model("lesions"), name_of_model("runs/first/model.safetensors"), name_of_model("weights/b.safetensors")
    ('lesions', 'first', 'b')
    """
    path = Path(source)
    return path.absolute().parent.name if path.name == WEIGHTS_FILE else path.name.removesuffix(path.suffix)


def _class_names(given: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    if given is None:
        return ("background", "foreground") if classes == 2 else tuple(f"class {label}" for label in range(classes))
    if isinstance(given, str) or len(given) != classes or not all(isinstance(name, str) and name for name in given):
        raise ValueError(f"classes: got {given!r:.80}, expected {classes} names, one for each label")
    return tuple(given)
