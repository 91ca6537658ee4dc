"""The models of a service."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fastpunet.prediction.opening import OpenedModel, open_model
from fastpunet.prediction.request import Request
from fastpunet.reports.page.making import name_of_model

_USUAL_SIDE = 64  # pixels of an image for a model that does not say on which it was trained


@dataclass(frozen=True, eq=False)
class Served:
    """A model under the name by which clients ask for it."""

    name: str
    opened: OpenedModel

    def facts(self) -> dict[str, Any]:
        """What clients may know of the model, for JSON."""
        method, sampler = self.opened.method, self.opened.sampler
        return {
            "name": self.name,
            "sha256": self.opened.about["model"]["sha256"],
            "version": self.opened.about["version"],
            "method": method.name,
            "calibration": self.opened.about["model"]["calibration"],
            "dims": method.dims,
            "channels": method.in_channels,
            "classes": max(2, method.num_classes),
            "trained_on_size": None if method.image_size is None else list(method.image_size),
            "trained_on_spacing_mm": None if method.spacing is None else list(method.spacing),
            "intensity": None if method.intensity is None else str(method.intensity),
            "most_hypotheses": method.max_hypotheses,
            "precision": sampler.precision,
            "device": str(sampler.device),
        }

    def about(self, request: Request) -> dict[str, Any]:
        """Where an answer comes from: the version, the model by its name and hash, and the request."""
        model = {**self.opened.about["model"], "source": self.name}
        return {
            "version": self.opened.about["version"],
            "model": model,
            "request": request.to_dict(),
            "precision": self.opened.sampler.precision,
            "device": str(self.opened.sampler.device),
        }

    def warm_up(self) -> None:
        """Draw from an empty image, so that the first client does not wait for what is set up once."""
        method, sampler = self.opened.method, self.opened.sampler
        size = method.image_size or (_USUAL_SIDE,) * method.dims
        image = torch.zeros(1, method.in_channels, *size, device=sampler.device)
        sampler.sample(image, min(2, method.max_hypotheses or 2), seed=0)


def open_served(models: Sequence[str | os.PathLike[str]], request: Request, device: str) -> dict[str, Served]:
    """Load models, each under the name that its pages have. Raises ValueError for two of one name."""
    served: dict[str, Served] = {}
    for model in models:
        opened = open_model(model, request, device)
        name = name_of_model(model)
        if name in served:
            raise ValueError(f"model: got two of the name {name}, expected different names; rename one of the files")
        served[name] = Served(name, opened)
    return served
