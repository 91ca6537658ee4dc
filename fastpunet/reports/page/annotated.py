"""Annotations of a page's image: where they lie in the latent space, and how likely the model finds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastpunet.data import IGNORE
from fastpunet.hypotheses import Assessment, assess
from fastpunet.hypotheses.assessments.assessment import FEW_DRAWS
from fastpunet.prediction.assessing import on_grid_of
from fastpunet.reports.page.compact import compact
from fastpunet.reports.page.drawn_cases import DrawnCase, packable
from fastpunet.reports.page.pad import FEW_DIMENSIONS, Pad


def annotated(case: DrawnCase, pad: Pad | None) -> list[dict[str, Any]]:
    """`Annotation` of case.ts for each annotation. Only models with a latent say how likely it is."""
    given = case.subject.annotations
    marked = [name for name, labels in given.items() if (labels != IGNORE).any()]
    found = _assess(case, marked) if marked and case.z is not None else None
    return [
        {
            "name": name,
            "labels": compact(packable(labels, case.classes)),
            "position": None if found is None or name not in marked else _position(found, marked.index(name), pad),
            "logLikelihood": None if found is None or name not in marked else _sentence(found, marked.index(name)),
        }
        for name, labels in given.items()
    ]


def _assess(case: DrawnCase, names: list[str]) -> Assessment:
    """Assess annotations where the model looks at the image, and so on its grid."""
    images, request = case.subject.prepared.images, case.request
    assert case.z is not None
    labels = torch.from_numpy(np.stack([case.subject.annotations[name] for name in names]))
    masks = on_grid_of(images, labels, case.subject.prepared.source)[0]
    device = case.sampler.device
    return assess(
        case.sampler.method,
        images[0].to(device),
        masks.to(device),
        request.n,
        seed=request.seed,
        id=case.subject.id,
        names=names,
        laplace=case.z.shape[1] <= FEW_DIMENSIONS,
        precision=request.precision,
    )


def _position(found: Assessment, place: int, pad: Pad | None) -> list[float] | None:
    if pad is None or found.position is None:
        return None
    position: Tensor = pad.plane.positions(found.position[place].to(pad.plane.mu.device))
    return position.tolist()


def _sentence(found: Assessment, place: int) -> str:
    value, error = float(found.log_evidence[place]), float(found.standard_error[place])
    text = f"log p(y | x) = {value:.1f} ± {error:.1f} nats"
    if len(found) > 1:
        text += f", number {int(found.rank[place])} of {len(found)} annotations by how likely the model finds them"
    rough = float(found.effective[place]) < FEW_DRAWS
    return f"{text}. The estimate is rough: few draws are like it." if rough else f"{text}."
