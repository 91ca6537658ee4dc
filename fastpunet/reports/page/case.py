"""The whole content of a page, as page/src/case.ts describes it, small enough to be sent by mail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastpunet.prediction.preparation import UNUSUAL
from fastpunet.reports.page.annotated import annotated
from fastpunet.reports.page.browser_decoder import browser_decoder
from fastpunet.reports.page.class_alternatives import class_alternatives
from fastpunet.reports.page.compact import compact
from fastpunet.reports.page.drawn_cases import DrawnCase, packable
from fastpunet.reports.page.exports import exports
from fastpunet.reports.page.pad import REACH, Pad, find_pad
from fastpunet.reports.page.region import Region
from fastpunet.reports.page.shown_image import shown_image

MOST_BYTES = 4_800_000  # of the content, so that a page with it has less than 5 MB
_LEAST_HYPOTHESES = 100
_MARGIN = 16  # pixels around everything that a hypothesis outlines


@dataclass(frozen=True)
class Economy:
    """What is left out or rounded to keep a page small.

    half    latents and features in half precision
    part    whether the pad decodes the surroundings of what hypotheses outline alone
    no_pad  whether there is no pad
    n       how many hypotheses the page holds
    """

    n: int
    half: bool = False
    part: bool = False
    no_pad: bool = False


def build_case(
    drawn: DrawnCase, model: Mapping[str, Any], made: Mapping[str, str], classes: tuple[str, ...]
) -> tuple[dict[str, Any], list[str]]:
    """`Case` of case.ts, and what was given up to keep it small.

    model: its `ModelFacts`; made: the page's version, date and command; classes: their names.

    If its JSON would have more than `MOST_BYTES`, precision, the extent of the pad, the pad itself and the number of
    hypotheses are given up, in this order, and notes say so.
    """
    pad = find_pad(drawn)
    found = pad if isinstance(pad, Pad) else None
    image, files, annotations = shown_image(drawn.subject), exports(drawn.subject), annotated(drawn, found)
    doubts = [text for kind, text in drawn.subject.prepared.warnings.items() if kind != UNUSUAL]  # `model` says that
    alternatives: list[dict[str, Any]] = []
    case: dict[str, Any] = {}
    given_up: list[str] = []
    for economy in _economies(drawn, found):
        fewer = _first(drawn, economy.n)
        if not case or economy.n < case["hypotheses"]["n"]:
            alternatives = class_alternatives(fewer)
        given_up = _notes(drawn, found, economy)
        case = {
            "version": 1,
            "title": drawn.subject.title,
            "source": drawn.subject.origin,
            "model": dict(model),
            "image": image,
            "classes": list(classes),
            "hypotheses": _hypotheses(fewer, economy),
            "alternatives": alternatives,
            "annotations": annotations,
            "pad": None if found is None or economy.no_pad else _pad(fewer, found, economy),
            "padMissing": pad if isinstance(pad, str) else _TOO_LARGE if economy.no_pad else None,
            "exports": files,
            "notes": [*drawn.subject.notes, *doubts, *given_up],
            "made": dict(made),
        }
        if len(json.dumps(case)) <= MOST_BYTES:
            break
    else:
        given_up = [*given_up, f"This page is {len(json.dumps(case)) / 1e6:.1f} MB large, because its image is."]
        case["notes"] = [*case["notes"], given_up[-1]]
    lost = [_TOO_LARGE] if found is not None and case["pad"] is None else []
    return case, [*given_up, *lost]


_TOO_LARGE = "The image is so large that what latents are decoded from would make this page larger than 5 MB."


def _economies(drawn: DrawnCase, pad: Pad | None) -> Iterator[Economy]:
    """From no economy to as much as there is."""
    n = len(drawn.labels)
    yield Economy(n)
    if pad is not None:
        yield Economy(n, half=True)
        if drawn.classes == 2:
            yield Economy(n, half=True, part=True)
    while True:
        yield Economy(n, half=True, no_pad=True)
        if n <= _LEAST_HYPOTHESES:
            return
        n = max(_LEAST_HYPOTHESES, n // 2)


def _first(drawn: DrawnCase, n: int) -> DrawnCase:
    """The first n hypotheses; they are those that would be drawn if n were asked for."""
    z = None if drawn.z is None else drawn.z[:n]
    return replace(drawn, labels=drawn.labels[:n], z=z, request=replace(drawn.request, n=n))


def _hypotheses(drawn: DrawnCase, economy: Economy) -> dict[str, Any]:
    z = None if economy.no_pad else drawn.z
    return {
        "n": len(drawn.labels),
        "seed": drawn.request.seed,
        "labels": compact(packable(drawn.labels, drawn.classes)),
        "z": None if z is None else compact(z.astype(np.float16 if economy.half else np.float32)),
    }


def _pad(drawn: DrawnCase, pad: Pad, economy: Economy) -> dict[str, Any]:
    plane, size = pad.plane, drawn.subject.size
    assert drawn.z is not None
    z = plane.mu.new_tensor(drawn.z)
    return {
        "origin": compact(plane.mu.cpu().numpy()),
        "axes": compact((plane.axes * plane.sigma).cpu().numpy()),
        "reach": REACH,
        "hypotheses": compact(plane.positions(z).cpu().numpy()),
        "decoder": browser_decoder(
            pad.encoding,
            _region(drawn) if economy.part else Region.whole(size),
            size,
            resampled=drawn.subject.prepared.resampled,
            half=economy.half,
        ),
    }


def _region(drawn: DrawnCase) -> Region:
    return Region.around(np.any(drawn.labels > 0, axis=0), _MARGIN)


def _notes(drawn: DrawnCase, pad: Pad | None, economy: Economy) -> list[str]:
    notes = []
    if pad is not None and not economy.no_pad:
        if economy.part:
            region = _region(drawn)
            notes.append(
                f"The pad outlines rows {region.rows.start} to {region.rows.stop - 1} and columns "
                f"{region.columns.start} to {region.columns.stop - 1} alone, around all that hypotheses outline: the "
                "whole would make this page larger than 5 MB."
            )
        if economy.half:
            notes.append(
                "What the pad decodes is rounded to half precision to keep this page below 5 MB: single pixels at the "
                "border of its outline may differ from the model's."
            )
    if economy.n < len(drawn.labels):
        notes.append(
            f"This page holds the first {economy.n} of {len(drawn.labels)} hypotheses, and counts these alone: all "
            "would make it larger than 5 MB."
        )
    return notes
