"""One image's hypotheses as the files of its place in an archive.

They are a pure function of the model, the image, its name, the request and the backend: what else is drawn, when, in
which order and by which process changes no byte of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.archive.arrays import ArrayFiles
from fastpunet.archive.layout import ENTROPY, MASKS, MEAN, NODE, SCHEMA, group_document
from fastpunet.prediction.archiving.measured import Measured
from fastpunet.prediction.archiving.packed import packed_parts, packed_shape
from fastpunet.prediction.drawing import draw_maps
from fastpunet.prediction.halving import Note
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.preparation import Prepared, about_image
from fastpunet.prediction.request import Request
from fastpunet.sampler import Sampler
from fastpunet_kernels import select_backend
from fastpunet_kernels.native import launch

File = tuple[str, bytes]  # its path within the image's group, and its content


def item_files(
    sampler: Sampler,
    prepared: Prepared,
    request: Request,
    about: Mapping[str, Any],
    computing: Callable[[], AbstractContextManager[Any]] = nullcontext,
    note: Note = lambda _: None,
    between: Callable[[], object] = lambda: None,
) -> Iterator[File]:
    """Draw the hypotheses of an input, and yield the files of its group one by one, the group's metadata last.

    about: what all images of the archive share. computing: makes a context in which hypotheses are computed. note: is
    told where memory ran out, which changes no byte. between: is called after each step; an error that it raises ends
    the work. At most one file of masks is in memory. Raises ValueError for what cannot be drawn.
    """
    hashes: dict[str, str] = {}

    def hashed(file: File) -> File:
        hashes[file[0]] = hashlib.sha256(file[1]).hexdigest()
        between()
        return file

    source, name = prepared.source, prepared.source.name
    array = ArrayFiles(
        MASKS,
        packed_shape(source.size, request.n, sampler.num_classes),
        "int32",
        ("hypothesis", "class", "word"),
        {"size": list(source.size), "bits": "pixel p is bit p % 32 of word p // 32; pixels in C order"},
    )
    measures = Measured(prepared, request, sampler.num_classes)
    first = 0
    parts = _within(computing, packed_parts(sampler, prepared, id_of(name), request, note, between))
    for some in _regrouped(parts, array.rows):
        measures.add(some)
        yield hashed(array.shard(first, some.numpy()))
        first += len(some)
    yield hashed(array.document())
    for title, values in _maps(sampler, prepared, request):
        between()
        for file in _map_files(title, values):
            yield hashed(file)
    yield (
        NODE,
        group_document(
            {
                "schema": SCHEMA,
                "name": name,
                "id": id_of(name),
                "files": [os.path.abspath(file) for file in source.files],
                "sha256": prepared.sha256,
                "n": request.n,
                "seed": request.seed,
                "sampler": request.sampler,
                "precision": sampler.precision,
                "model": {key: about["model"][key] for key in ("sha256", "method")},
                "computed": computed_with(sampler),
                "image": about_image(prepared),
                "warnings": list(prepared.warnings.values()),
                **measures.found(),
                "contents": hashes,
            }
        ),
    )


def _within(computing: Callable[[], AbstractContextManager[Any]], parts: Iterator[Tensor]) -> Iterator[Tensor]:
    """The parts, each made within a context."""
    while True:
        with computing():
            part = next(parts, None)
        if part is None:
            return
        yield part


def _regrouped(parts: Iterator[Tensor], rows: int) -> Iterator[Tensor]:
    """The rows of the parts in order, `rows` at a time."""
    waiting: list[Tensor] = []
    for part in parts:
        waiting.append(part)
        while sum(map(len, waiting)) >= rows:
            joined = torch.cat(waiting)
            yield joined[:rows].contiguous()
            waiting = [joined[rows:]]
    if sum(map(len, waiting)):
        yield torch.cat(waiting)


def _maps(sampler: Sampler, prepared: Prepared, request: Request) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if request.mean or request.entropy:
        mean, entropy = draw_maps(sampler, prepared, id_of(prepared.source.name), request)
        if request.mean:
            yield MEAN, mean.numpy()
        if request.entropy:
            yield ENTROPY, entropy.numpy()


def _map_files(title: str, values: NDArray[np.float32]) -> Iterator[File]:
    axes = ("class",) * (title == MEAN) + ("slice", "row", "column")[-(values.ndim - (title == MEAN)) :]
    array = ArrayFiles(title, values.shape, "float32", axes)
    for first in range(0, len(values), array.rows):
        yield array.shard(first, values[first : first + array.rows])
    yield array.document()


def computed_with(sampler: Sampler) -> dict[str, Any]:
    """What the rounding of a sampler's hypotheses depends on, beside the request."""
    backend = select_backend(sampler.backend, sampler.device)
    return {
        "backend": backend,
        "device": sampler.device.type,
        "instructions": launch.kernels.CAPABILITIES[launch.capability()] if backend == "native" else None,
        "threads": torch.get_num_threads(),
        **_versions(),
    }


@cache
def _versions() -> dict[str, str]:
    """Once for all images: reading them takes milliseconds."""
    return {package: metadata.version(package) for package in ("fastpunet", "torch", "zarr")}
