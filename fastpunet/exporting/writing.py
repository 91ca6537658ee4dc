"""Writes a model's networks for runtimes other than this library, after a comparison with what the model draws."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastpunet.exporting.comparing import check_agreement
from fastpunet.exporting.facts import KEY, facts_of
from fastpunet.exporting.pooling import use_whole_windows
from fastpunet.exporting.programs import Program, trace
from fastpunet.files import check_folder, replacing
from fastpunet.models import Method
from fastpunet.models.adapters import adapt
from fastpunet.models.adapters.sizes import traced
from fastpunet.models.twin import evaluation_twin
from fastpunet.optional import require

_TRACED = {2: (68, 76), 3: (20, 12, 28)}  # the size of the images that networks are traced with
_MULTIPLES = (1, 2, 4, 8, 16, 32)  # what a network may need the sides of its images to be multiples of
_TRIED = {2: (65, 65), 3: (33, 33, 33)}  # the size that tells these multiples apart


def export(model: nn.Module, path: str | os.PathLike[str]) -> list[Path]:
    """Write a model's networks for other runtimes: as ONNX, or as programs of torch.export. Returns the files' paths.

    path: NAME.onnx gives NAME.encode.onnx and NAME.decode.onnx, NAME.pt2 gives NAME.encode.pt2 and NAME.decode.pt2,
    whole or not at all. `encode` takes images float32 (B, C, *size), and gives features and the prior's parameters,
    such as mu and sigma (B, latent_dim). `decode` takes features and latents z (B, n, latent_dim), and gives logits
    (B, n, K, *size); it adds z to every pixel after its first layer, and never repeats the features. B, n and the
    images' size are free.

    M-Heads and the U-Net Ensemble have `encode` alone, which gives all their logits (B, M, K, *size); so has an SSN,
    and it gives mean and sigma (B, K, *size) and factor (B, rank, K, *size). Each file holds facts about the model as
    JSON (see docs/leaving.md).

    Before a file is kept, it is run, and has to give the labels of `fastpunet.sample` in 99.99 % of pixels. Raises
    ValueError for weights that are not float32 on the CPU, and TypeError for models that draw noise inside their
    networks or that PyTorch cannot trace.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise ValueError(f"path: got {str(path)!r}, expected a name that ends in {' or '.join(SUFFIXES)}")
    check_folder("path", target.parent)
    if target.suffix == ".onnx":
        for module in ("onnx", "onnxscript", "onnxruntime"):
            require(module, "writing ONNX", "onnx")
    method = evaluation_twin(adapt(model))
    if method.dtype != torch.float32 or method.device.type != "cpu":
        raise ValueError(
            f"model: got {method.dtype} on {method.device}, expected float32 on the CPU; use model.float().cpu()"
        )
    use_whole_windows(method)
    images = torch.rand(2, _channels(method), *_TRACED[method.dims], generator=torch.Generator().manual_seed(0))
    with traced(_multiple(method)), torch.no_grad():
        exportable = method.exportable(images)
        programs = trace(exportable, images)
    paths = {name: target.with_name(f"{target.stem}.{name}{target.suffix}") for name in programs}
    taken = next((path for path in paths.values() if path.is_dir()), None)
    if taken is not None:
        raise ValueError(f"path: got {str(path)!r}, but {taken} is a folder; name another file")
    target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        written = {name: stack.enter_context(replacing(path)) for name, path in paths.items()}
        for name, program in programs.items():
            _WRITERS[target.suffix](program, written[name], facts_of(method, exportable, name))
        check_agreement(model, written, images)
    return list(paths.values())


def _multiple(method: Method) -> int:
    """The smallest multiple to which images must be padded for the method's networks. ValueError if there is none."""
    images = torch.zeros(1, _channels(method), *_TRIED[method.dims])
    reason: Exception | None = None
    for multiple in _MULTIPLES:
        try:
            with traced(multiple), torch.no_grad():
                method.exportable(images)
            return multiple
        except (ValueError, RuntimeError) as error:
            reason = reason or error
    raise ValueError(str(reason))


def _channels(method: Method) -> int:
    """Channels of a model's images; of a model of another make, what its first convolution takes."""
    convs = (module.in_channels for module in method.modules() if isinstance(module, nn.Conv2d | nn.Conv3d))
    return method.in_channels or next(convs, 1)


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """A context in which a module of PyTorch logs nothing: it warns of operations of torchvision that are not there."""
    logger, refuse = logging.getLogger(name), lambda _: False
    logger.addFilter(refuse)
    try:
        yield
    finally:
        logger.removeFilter(refuse)


def _write_onnx(program: Program, path: Path, facts: dict[str, Any]) -> None:
    with warnings.catch_warnings(), _unlogged("torch.onnx._internal.exporter._registration"):
        warnings.simplefilter("ignore")
        model = torch.onnx.export(program.traced, dynamo=True, verbose=False)
    assert model is not None
    graph = model.model.graph
    for value, name, axes in (
        *((value, *named) for value, named in zip(graph.inputs, program.inputs.items(), strict=True)),
        *((value, *named) for value, named in zip(graph.outputs, program.outputs.items(), strict=True)),
    ):
        value.name = name
        assert value.shape is not None
        value.shape = type(value.shape)([axis or size for axis, size in zip(axes, value.shape, strict=True)])
    model.model.metadata_props[KEY] = json.dumps(facts)
    model.save(path, external_data=False)


def _write_program(program: Program, path: Path, facts: dict[str, Any]) -> None:
    torch.export.save(program.traced, path, extra_files={KEY: json.dumps(facts)})


_WRITERS: dict[str, Callable[[Program, Path, dict[str, Any]], None]] = {".onnx": _write_onnx, ".pt2": _write_program}
SUFFIXES = tuple(_WRITERS)
