"""How far a model can be trusted: its calibration, and whether it knows images like this one."""

from __future__ import annotations

from typing import Any

from fastpunet.models.calibration import Calibration, Reliability
from fastpunet.models.familiarity import Verdict
from fastpunet.models.method import Method

_TOLD = 0.0005  # a bias that is not 0.0 points


def model_facts(method: Method, name: str, verdict: Verdict) -> dict[str, Any]:
    """`ModelFacts` of case.ts. verdict: on the image of the page."""
    return {
        "name": name,
        "method": method.name,
        "calibration": None if method.calibration is None else _calibration(method.calibration),
        "familiarity": {"level": verdict.level, "sentence": verdict.sentence, "how": verdict.how},
    }


def _calibration(found: Calibration) -> dict[str, Any]:
    parts = {"presence": found.presence, "pixels": found.pixels, "volume": found.volume}
    return {
        "sentences": _sentences(found),
        **{name: None if part is None else _bins(part) for name, part in parts.items()},
    }


def _bins(part: Reliability) -> dict[str, list[float]]:
    return {"count": list(part.count), "predicted": list(part.predicted), "observed": list(part.observed)}


def _sentences(found: Calibration) -> list[str]:
    """What was measured, in words for people who do not know the word calibration."""
    images = f"{found.images} image{'s' if found.images > 1 else ''}"
    patients = f"{found.patients} patient{'s' if found.patients > 1 else ''}"
    sentences = [f"Measured on {images} of {patients} that it was not trained on ({found.data})."]
    if found.presence is not None:
        sentences.append(
            f"Its probability that anything is there was off by {_points(found.presence.error)} points of 100 on "
            f"average{_bias(found.presence)}."
        )
    sentences.append(
        f"Its probabilities of single pixels were off by {_points(found.pixels.error)} points on average"
        f"{_bias(found.pixels)}."
    )
    if found.volume is not None:
        sentences.append(
            "In 90 of 100 images, the size that experts outlined should be below its 90 % quantile, and likewise for "
            f"other quantiles: these counts were off by {_points(found.volume.error)} points on average."
        )
    return sentences


def _bias(part: Reliability) -> str:
    if abs(part.bias) < _TOLD:
        return ""
    return f", {_points(abs(part.bias))} {'too high' if part.bias > 0 else 'too low'} on the whole"


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
