"""Compares exported files with the model that they were made of: by the labels of the same hypotheses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from fastpunet.exporting.running import Run, opened
from fastpunet.latents import Noise
from fastpunet.models.exportable import with_tensors
from fastpunet.models.method import Encoding, to_output
from fastpunet.models.ssn import NormalLogits
from fastpunet.sampler import Sampler
from fastpunet_kernels import LowRankLogits

AGREEMENT = 0.9999  # share of the pixels whose label has to be the same
_HYPOTHESES = 16


def agreement(model: nn.Module, files: Mapping[str, Run], images: Tensor, n: int, *, seed: int = 0) -> float:
    """The share of pixels of n hypotheses of images (B, C, *size) that have the same label by the files and the model.

    files: what runs "encode" and, if there is one, "decode". Latents are drawn from the prior that the files give, with
    the noise that the model's own hypotheses have under this seed.
    """
    sampler = Sampler(model, precision="ieee")
    encoding: Encoding = sampler.encode(images)
    noise = Noise(seed, torch.arange(len(images)), 0, n)
    given = files["encode"]({"images": images})
    if "decode" in files:
        prior = sampler.method.prior_of(encoding)
        assert prior is not None
        z = with_tensors(prior, given).draw(noise)
        logits = files["decode"]({"features": given["features"], "z": z})["logits"]
        labels = _labels(logits)
    elif isinstance(encoding, NormalLogits):
        parts = (given[name].flatten(-len(encoding.size)) for name in ("mean", "factor", "sigma"))
        labels = sampler.draw(replace(encoding, normal=LowRankLogits(*parts)), n, seed=seed)
    else:
        labels = _labels(given["logits"][:, noise.choose(given["logits"].shape[1])])
    return (labels == sampler.draw(encoding, n, seed=seed)).double().mean().item()


def _labels(logits: Tensor) -> Tensor:
    """Labels (B, n, *size) of logits (B, n, K, *size)."""
    return to_output(logits, "labels").unflatten(2, logits.shape[3:])


def check_agreement(model: nn.Module, files: Mapping[str, Path], images: Tensor) -> None:
    """Raise ValueError if the files give other labels than the model, for these images or for a smaller odd size."""
    n = min(_HYPOTHESES, Sampler(model).max_hypotheses or _HYPOTHESES)
    programs = {name: opened(path) for name, path in files.items()}
    for some in (images, images[:1, :, 3:, 6:]):
        share = agreement(model, programs, some, n)
        if not share >= AGREEMENT:
            raise ValueError(
                f"path: the exported files give the model's label in {100 * share:.3f} % of pixels, expected "
                f"{100 * AGREEMENT} %, so they were not kept; draw with fastpunet instead"
            )
