"""What a gallery tells of a page. Every page holds it, so that a gallery can be made of pages that are there."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch

from fastpunet.arguments import is_number
from fastpunet.data import IGNORE
from fastpunet.hypotheses.display import percent
from fastpunet.masks import PackedMasks
from fastpunet.metrics import default_convention, energy_distance
from fastpunet.reports.page.drawn_cases import DrawnCase
from fastpunet.reports.page.thumbnail import thumbnail

_COMPARED = 200  # hypotheses whose pairs are compared
_SPREAD = (0.05, 0.5, 0.95)
_TEXTS = ("title", "source", "summary", "level", "picture")
_LEVELS = ("usual", "unusual", "unknown")


@dataclass(frozen=True)
class Entry:
    """One page in a gallery. Numbers are None where they are undefined.

    title         the page's
    source        the file or the data that it came from
    id            of the image, whose noise the hypotheses have
    summary       its alternatives in a sentence
    level         "usual", "unusual" or "unknown": whether the image is like those that the model was checked on
    picture       a PNG in base64
    ambiguity     mean distance 1 - IoU of two hypotheses; of several classes, the mean over all but the first
    presence      share of hypotheses with the class that the page shows first
    spread        difference of the 95 % and the 5 % quantile of its size over the median, where there is any
    disagreement  mean distance 1 - IoU of a hypothesis and an annotation
    """

    title: str
    source: str
    id: int
    summary: str
    level: str
    picture: str
    ambiguity: float
    presence: float
    spread: float | None = None
    disagreement: float | None = None

    def __post_init__(self) -> None:
        if not all(isinstance(getattr(self, name), str) for name in _TEXTS) or self.level not in _LEVELS:
            raise ValueError(f"entry: got {self.level!r:.80}, expected texts, and a level of {', '.join(_LEVELS)}")
        if type(self.id) is not int:
            raise ValueError(f"entry: id is {self.id!r:.80}, expected a whole number")
        if not (self.picture.isascii() and all(c.isalnum() or c in "+/=" for c in self.picture)):
            raise ValueError("entry: the picture is not base64")
        for name in ("ambiguity", "presence", "spread", "disagreement"):
            value = getattr(self, name)
            if not is_number(value) and (value is not None or name in ("ambiguity", "presence")):
                raise ValueError(f"entry: {name} is {value!r:.80}, expected a number")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> Entry:
        """Read the result of `to_dict`. Raises ValueError."""
        if not isinstance(values, Mapping) or set(values) != {field.name for field in fields(cls)}:
            raise ValueError(f"entry: got {values!r:.80}, expected the fields of an entry")
        return cls(**values)


def entry_of(drawn: DrawnCase, case: Mapping[str, Any]) -> Entry:
    """The entry of the page of a `Case`, about the first class that has alternatives."""
    shown = next((found for found in case["alternatives"] if len(found["modes"]) > 1), case["alternatives"][0])
    labels, annotations = drawn.labels, drawn.subject.annotations
    marked = [mask for mask in annotations.values() if (mask != IGNORE).any()]
    samples = _packed(labels[:_COMPARED], drawn.classes)
    rule = default_convention(drawn.classes)
    inside = labels == shown["label"]
    sizes = inside.sum((1, 2))
    there = sizes[sizes > 0]
    low, median, high = np.quantile(there, _SPREAD) if len(there) else (0.0, 1.0, 0.0)
    prepared = drawn.subject.prepared
    seen = prepared.intensity.resolve(drawn.subject.stored)
    outlined = [inside[mode["hypothesis"]] for mode in shown["modes"]]
    disagreement = [
        float(
            energy_distance(samples, _packed(mask[None], drawn.classes), convention=rule, ignore=_ignored(mask)).cross
        )
        for mask in marked
    ]
    return Entry(
        title=case["title"],
        source=case["source"],
        id=drawn.subject.id,
        summary=_summary(shown, case),
        level=prepared.verdict.level,
        picture=b64encode(thumbnail(drawn.subject.stored, (seen.low, seen.high), outlined)).decode("ascii"),
        ambiguity=float(energy_distance(samples, samples, convention=rule).sample_diversity),
        presence=len(there) / len(labels),
        spread=float((high - low) / median) if len(there) else None,
        disagreement=float(np.mean(disagreement)) if disagreement else None,
    )


def _summary(shown: Mapping[str, Any], case: Mapping[str, Any]) -> str:
    """The alternatives of a class in a sentence."""
    count = len(shown["modes"])
    name = "" if len(case["alternatives"]) == 1 else f" of {case['classes'][shown['label']]}"
    modes = ", ".join(f"{percent(mode['probability'])} {mode['name']}" for mode in shown["modes"])
    return f"{count} alternative{'' if count == 1 else 's'}{name}: {modes}"


def _packed(labels: np.ndarray[Any, Any], classes: int) -> PackedMasks:
    known = torch.from_numpy(np.where(labels == IGNORE, 0, labels))[None]
    return PackedMasks.pack(known, None if classes == 2 else classes)


def _ignored(mask: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(mask == IGNORE)[None]
