"""Traces the networks of a method into programs for any number of images, any size and any number of hypotheses."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from fastpunet.models.exportable import Exportable
from fastpunet.waits import without_waiting

Axes = tuple[str | None, ...]  # the name of each axis whose length may vary; None for one whose length is fixed
_SPACE = {2: ("height", "width"), 3: ("depth", "height", "width")}
_LATENTS = "latents"  # with latent maps as many as the images' size gives cells, else fixed
_TRACED_HYPOTHESES = 3


class Program(NamedTuple):
    """A traced network, and its inputs and outputs by name in the order in which it takes and gives them."""

    traced: ExportedProgram
    inputs: dict[str, Axes]
    outputs: dict[str, Axes]


def trace(exportable: Exportable, images: Tensor) -> dict[str, Program]:
    """The programs "encode" and, if there is one, "decode", traced with images (B, C, *size), B at least 2.

    Raises TypeError, with what PyTorch says, for a network that cannot be traced for all sizes.
    """
    space = _SPACE[images.ndim - 2]
    with torch.no_grad():
        given = exportable.encode(images)
    maps = {name: ("batch", *[None] * (t.ndim - 1 - len(space)), *space) for name, t in given.items()}
    outputs: dict[str, Axes] = {
        name: maps[name] if tensor.shape[2:] == images.shape[2:] or exportable.decode is None else _of_prior(tensor)
        for name, tensor in given.items()
    }
    batch: Axes = ("batch", None, *space)
    programs = {"encode": Program(_traced(exportable.encode, {"images": (images, batch)}), {"images": batch}, outputs)}
    if exportable.decode is not None and exportable.prior is not None:
        features = next(iter(given.values()))
        z = torch.zeros(len(images), _TRACED_HYPOTHESES, exportable.prior.latent_dim)
        inputs: dict[str, Axes] = {"features": batch, "z": ("batch", "n", _LATENTS)}
        traced = _traced(exportable.decode, {"features": (features, batch), "z": (z, inputs["z"])})
        programs["decode"] = Program(traced, inputs, {"logits": ("batch", "n", None, *space)})
    return programs


def _of_prior(tensor: Tensor) -> Axes:
    return ("batch", _LATENTS, *[None] * (tensor.ndim - 2))


def _traced(network: nn.Module, inputs: Mapping[str, tuple[Tensor, Axes]]) -> ExportedProgram:
    dynamic = {
        name: {place: Dim.AUTO if axis == _LATENTS else Dim.DYNAMIC for place, axis in enumerate(axes) if axis}
        for name, (_, axes) in inputs.items()
    }
    tensors = {name: tensor for name, (tensor, _) in inputs.items()}
    try:
        with torch.no_grad(), without_waiting(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(network, (), tensors, dynamic_shapes=dynamic, strict=False)
    except Exception as error:  # tracing runs the model's own code, which may fail in any way
        raise TypeError(f"model: PyTorch cannot trace its networks for images of any size: {_said(error)}") from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
