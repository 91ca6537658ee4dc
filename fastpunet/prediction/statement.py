"""What the hypotheses of one image say, in numbers, in a table and in a sentence."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fastpunet.hypotheses import Modes, modes
from fastpunet.hypotheses.display import percent
from fastpunet.hypotheses.intervals import wilson
from fastpunet.hypotheses.measures import Measures, measure
from fastpunet.hypotheses.measures.estimates import Probability, number, title, with_unit
from fastpunet.prediction.drawing import Drawn
from fastpunet.prediction.preparation import Prepared, about_image
from fastpunet.prediction.request import Request

_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, eq=False)
class Statement:
    """What the hypotheses of one image say.

    content   for JSON: where they come from, warnings, presence, quantiles of measures, thresholds and modes
    table     CSV of the measures of every hypothesis
    modes     those that were asked for; None if none were
    sentence  the same for people
    """

    content: dict[str, Any]
    table: str
    modes: Modes | None
    sentence: str


def state(
    prepared: Prepared, drawn: Drawn, id: int, num_classes: int, request: Request, about: Mapping[str, Any]
) -> Statement:
    """Measure the hypotheses of one image, and find the modes that the request asks for.

    id: whose noise they have. about: what `content` says of the run. Raises ValueError, naming the argument, for
    thresholds of measures that the image does not have.
    """
    masks = drawn.labels[None]
    classes = None if num_classes <= 2 else num_classes
    unit = None if request.unit == "auto" else request.unit
    measures = measure(masks, spacing=prepared.spacing, unit=unit, num_classes=classes)
    found = None if request.modes is None else modes(masks, request.modes or None, num_classes=classes)[0]
    thresholds = [measures.probability(name, ">=", value) for name, value in request.thresholds]
    content = {
        "name": prepared.source.name,
        "files": [os.fspath(file) for file in prepared.source.files],
        "sha256": prepared.sha256,
        "id": id,
        **about,
        "image": about_image(prepared),
        "warnings": list(prepared.warnings.values()),
        "presence": _presence(measures.empty[0]),
        "measures": {name: {"unit": measures.units[name], **_quantiles(measures, name)} for name in measures.names},
        "thresholds": [
            {"measure": name, "at_least": value, **_by_class([one.probability, one.low, one.high])}
            for (name, value), one in zip(request.thresholds, thresholds, strict=True)
        ],
        "modes": [] if found is None else _modes(found, measures),
    }
    return Statement(content, _table(measures, found), found, _sentence(measures, found, thresholds))


def _table(measures: Measures, found: Modes | None) -> str:
    """The measures of every hypothesis as CSV; a measure that an empty mask does not have is left empty."""
    text = io.StringIO()
    columns = [name for name in measures.columns() if name != "image"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns[:1], *([] if found is None else ["mode"]), *columns[1:]])
    for row in measures.rows():
        first, *rest = (row[name] for name in columns)
        mode = [] if found is None else [int(found.members[first]) + 1]
        writer.writerow([first, *mode, *("" if value != value else f"{value:.6g}" for value in rest)])
    return text.getvalue()


def _presence(empty: Tensor) -> dict[str, Any]:
    """The share of hypotheses that outline anything, with its interval; for each class, if there are several."""
    n = len(empty)
    counts = (~empty).sum(0)
    return _by_class([counts.double() / n, *wilson(counts, n)])


def _quantiles(measures: Measures, name: str) -> dict[str, Any]:
    """Quantiles over the hypotheses that are not empty, each with its interval."""
    quantiles = measures.quantiles(name, _QUANTILES)
    return {
        f"{q:g}": _by_class([part[..., place] for part in (quantiles.values, quantiles.low, quantiles.high)])
        for place, q in enumerate(quantiles.q)
    }


def _by_class(parts: list[Tensor]) -> dict[str, Any]:
    """Value and interval of one image, {"value": ..., "interval": [...]}; of several classes, each under its number."""
    value, low, high = (part.reshape(-1).tolist() for part in parts)
    entries = [
        {"value": _number(v), "interval": [_number(a), _number(b)]} for v, a, b in zip(value, low, high, strict=True)
    ]
    return entries[0] if len(entries) == 1 else {str(label): entry for label, entry in enumerate(entries)}


def _modes(found: Modes, measures: Measures) -> list[dict[str, Any]]:
    """Each mode with its probability, and with the measures of its representative hypothesis."""
    rows = zip(found.probabilities.tolist(), found.intervals.tolist(), found.hypotheses.tolist(), strict=True)
    return [
        {
            "mode": place + 1,
            "probability": _number(probability),
            "interval": [_number(end) for end in interval],
            "hypothesis": hypothesis,
            "measures": {name: _numbers(values[0, hypothesis]) for name, values in measures.values.items()},
        }
        for place, (probability, interval, hypothesis) in enumerate(rows)
    ]


def _sentence(measures: Measures, found: Modes | None, thresholds: Sequence[Probability]) -> str:
    """The answer for people: presence, how large, the modes, and how probable it is that thresholds are reached.

    Of several classes the tables say more than a sentence could, apart from how probable the modes are.
    """
    empty, n = measures.empty[0], len(measures.empty[0])
    if empty.ndim > 1:
        parts = [f"{n} hypotheses of {empty.shape[1]} classes"]
        return "; ".join([*parts, *([] if found is None else [_modes_in_words(found, None, "")])])
    name, unit = measures.names[0], measures.units[measures.names[0]]
    parts = [f"{percent(1 - float(empty.double().mean()))} of {n} hypotheses outline something"]
    if not empty.all():
        low, median, high = measures.quantiles(name, _QUANTILES).values[0].tolist()
        spread = with_unit(f"{number(low, high)} to {number(high, low)}", unit)
        parts[0] += f", with a median {title(name)} of {with_unit(number(median), unit)} (5 % to 95 %: {spread})"
    if found is not None:
        parts.append(_modes_in_words(found, measures.values[name][0], unit))
    return "; ".join([*parts, *map(str, thresholds)])


def _modes_in_words(found: Modes, sizes: Tensor | None, unit: str) -> str:
    """The modes' probabilities, with the sizes of their representatives where hypotheses have one."""
    shares = [percent(probability) for probability in found.probabilities.tolist()]
    if sizes is not None:
        own = sizes[found.hypotheses].tolist()
        words = [with_unit(number(size), unit) if size else "nothing" for size in own]
        shares = [f"{share} {text}" for share, text in zip(shares, words, strict=True)]
    return f"{len(found)} mode{'s' if len(found) > 1 else ''}: {', '.join(shares)}"


def _numbers(values: Tensor) -> float | list[float | None] | None:
    """The value of one hypothesis; of several classes, a list."""
    return _number(float(values)) if values.ndim == 0 else [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    """Six digits, as in the CSV; None, which is null in JSON, for what is undefined."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
