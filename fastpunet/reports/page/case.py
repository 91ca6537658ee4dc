"""The whole content of a page, as page/src/case.ts describes it, small enough to be sent by mail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fastpunet.prediction.preparation import UNUSUAL
from fastpunet.reports.page.annotated import annotated
from fastpunet.reports.page.browser_decoder import browser_decoder
from fastpunet.reports.page.class_alternatives import class_alternatives
from fastpunet.reports.page.compact import compact
from fastpunet.reports.page.drawn_cases import DrawnCase, packable
from fastpunet.reports.page.economy import TOO_LARGE, Economy, economies, told
from fastpunet.reports.page.exports import exports
from fastpunet.reports.page.pad import REACH, Pad, find_pad
from fastpunet.reports.page.region import Region
from fastpunet.reports.page.shown_image import shown_image

MOST_BYTES = 4_800_000  # of the content, so that a page with it has less than 5 MB
_MARGIN = 16  # pixels around everything that a hypothesis outlines


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
    for economy in economies(len(drawn.labels), pad=found is not None, binary=drawn.classes == 2):
        fewer = _first(drawn, economy.n)
        if not case or economy.n < case["hypotheses"]["n"]:
            alternatives = class_alternatives(fewer)
        given_up = told(economy, len(drawn.labels), None if found is None else _region(drawn))
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
            "padMissing": pad if isinstance(pad, str) else TOO_LARGE if economy.no_pad else None,
            "exports": files,
            "notes": [*drawn.subject.notes, *doubts, *_about_drawing(drawn), *given_up],
            "made": dict(made),
        }
        if len(json.dumps(case)) <= MOST_BYTES:
            break
    else:
        given_up = [*given_up, f"This page is {len(json.dumps(case)) / 1e6:.1f} MB large, because its image is."]
        case["notes"] = [*case["notes"], given_up[-1]]
    lost = [TOO_LARGE] if found is not None and case["pad"] is None else []
    return case, [*given_up, *lost]


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


def _about_drawing(drawn: DrawnCase) -> list[str]:
    """What to know of the way in which the hypotheses were drawn."""
    if drawn.request.sampler == "random":
        return []
    return [
        f"The hypotheses were drawn with the sampler {drawn.request.sampler}, and so depend on each other: the "
        "intervals on this page, which assume that they do not, are mostly too wide."
    ]
