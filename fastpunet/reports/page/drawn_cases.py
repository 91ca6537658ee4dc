"""The hypotheses of a page, with their latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpunet.latents import Noise
from fastpunet.models.method import Encoding
from fastpunet.prediction.drawing import draw
from fastpunet.prediction.request import Request
from fastpunet.reports.page.subject import Subject
from fastpunet.sampler import Sampler


@dataclass(frozen=True, eq=False)
class DrawnCase:
    """An image that was encoded, and its hypotheses.

    encoding  of the one image, on the grid that the model looks at
    labels    uint8 (n, H, W) on the image's own grid
    z         float32 (n, latent_dim); None for a method without a latent
    """

    subject: Subject
    sampler: Sampler
    request: Request
    encoding: Encoding
    labels: NDArray[np.uint8]
    z: NDArray[np.float32] | None

    @property
    def classes(self) -> int:
        """Classes of the labels, at least 2."""
        return max(2, self.sampler.num_classes)


@torch.no_grad()
def draw_case(subject: Subject, sampler: Sampler, request: Request) -> DrawnCase:
    """Draw the hypotheses that `fastpunet sample` draws of the same image. Raises ValueError if they do not fit."""
    labels = _drawn_now(subject, sampler, request) if subject.drawn is None else subject.drawn()
    encoding = sampler.encode(subject.prepared.images.to(sampler.device))
    prior = sampler.method.prior_of(encoding)
    z = None
    if prior is not None:
        ids = torch.tensor([subject.id], device=sampler.device)
        z = prior.draw(Noise(request.seed, ids, 0, request.n, sampler.backend, sampler.sampler))[0].cpu().numpy()
    return DrawnCase(subject, sampler, request, encoding, labels, z)


def _drawn_now(subject: Subject, sampler: Sampler, request: Request) -> NDArray[np.uint8]:
    (drawn,) = draw(sampler, [subject.prepared], [subject.id], request)
    return drawn.labels.numpy()


def packable(labels: NDArray[np.uint8], classes: int) -> NDArray[Any]:
    """Labels in the form that `compact` packs best: bool for two classes, in which what is not annotated is not there.

    >>> packable(np.array([0, 1, 255], np.uint8), 2)
    array([False,  True, False])
    """
    return labels == 1 if classes == 2 else labels
